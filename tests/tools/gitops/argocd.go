package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	lua "github.com/yuin/gopher-lua"
	"sigs.k8s.io/yaml"
)

// A script that takes longer is ended, as Argo CD does.
const longest = time.Second

// statuses are those that Argo CD takes from a script.
var statuses = []string{"Unknown", "Progressing", "Suspended", "Healthy", "Degraded", "Missing"}

// libraries that a script has in a cluster: package, base and table, and of os what is harmless. Strings have no
// methods there: Argo CD opens the standard libraries only where useOpenLibs is configured.
var libraries = []struct {
	name string
	open lua.LGFunction
}{
	{lua.LoadLibName, lua.OpenPackage},
	{lua.BaseLibName, lua.OpenBase},
	{lua.TabLibName, lua.OpenTable},
}

// health says what Argo CD makes of the object, by that script.
func health(script string, object map[string]any) (verdict, error) {
	// Before any script is asked.
	if metadata, _ := object["metadata"].(map[string]any); metadata["deletionTimestamp"] != nil {
		return verdict{Status: "Progressing", Message: "Pending deletion"}, nil
	}
	return execute(script, object)
}

func execute(script string, object map[string]any) (verdict, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range libraries {
		call := lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return verdict{}, err
		}
	}
	limit, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	state.SetContext(limit)
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(script); err != nil {
		return verdict{}, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return verdict{}, fmt.Errorf("it returned a %s, not a table", state.Get(-1).Type())
	}
	return read(table)
}

func read(table *lua.LTable) (verdict, error) {
	text := func(name string) (string, error) {
		switch field := table.RawGetString(name).(type) {
		case *lua.LNilType:
			return "", nil
		case lua.LString:
			return string(field), nil
		default:
			return "", fmt.Errorf("%s is a %s, not a string", name, field.Type())
		}
	}
	status, err := text("status")
	message, other := text("message")
	if err := errors.Join(err, other); err != nil {
		return verdict{}, err
	}
	if !slices.Contains(statuses, status) {
		return verdict{Status: "Unknown", Message: "Lua returned an invalid health status"}, nil
	}
	return verdict{Status: status, Message: message}, nil
}

// value is the Lua value of what JSON holds.
func value(state *lua.LState, of any) lua.LValue {
	switch of := of.(type) {
	case bool:
		return lua.LBool(of)
	case string:
		return lua.LString(of)
	case float64:
		return lua.LNumber(of)
	case int64:
		return lua.LNumber(of)
	case []any:
		list := state.CreateTable(len(of), 0)
		for _, member := range of {
			list.Append(value(state, member))
		}
		return list
	case map[string]any:
		table := state.CreateTable(0, len(of))
		for name, member := range of {
			table.RawSetString(name, value(state, member))
		}
		return table
	default:
		return lua.LNil
	}
}

// healthTest is Argo CD's own form of a health_test.yaml.
type healthTest struct {
	Tests []struct {
		InputPath    string  `json:"inputPath"`
		HealthStatus verdict `json:"healthStatus"`
	} `json:"tests"`
}

// healthTests runs the tests beside each health.lua below the folder, and says how many.
func healthTests(folder string, output io.Writer) error {
	var failed []error
	scripts, tests := 0, 0
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "health.lua" {
			return err
		}
		count, wrong := healthTestsOf(path)
		scripts, tests = scripts+1, tests+count
		failed = append(failed, wrong...)
		return nil
	})
	if err != nil {
		return err
	}
	if scripts == 0 || tests == 0 {
		return fmt.Errorf("no test below %s", folder)
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	_, err = fmt.Fprintf(output, "%d scripts, %d tests\n", scripts, tests)
	return err
}

func healthTestsOf(path string) (int, []error) {
	folder := filepath.Dir(path)
	script, err := os.ReadFile(path)
	document, other := os.ReadFile(filepath.Join(folder, "health_test.yaml"))
	var suite healthTest
	if err := errors.Join(err, other, yaml.UnmarshalStrict(document, &suite)); err != nil {
		return 0, []error{fmt.Errorf("%s: %w", folder, err)}
	}
	var failed []error
	used := map[string]bool{}
	for _, test := range suite.Tests {
		input := filepath.Join(folder, test.InputPath)
		used[input] = true
		document, err := os.ReadFile(input)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		seen, err := object(document)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", input, err))
			continue
		}
		// The script itself, as Argo CD's own tests ask it, also of what is being deleted.
		if found, err := execute(string(script), seen); err != nil || found != test.HealthStatus {
			failed = append(failed, fmt.Errorf("%s: got %+v %v, want %+v", input, found, err, test.HealthStatus))
		}
	}
	inputs, err := filepath.Glob(filepath.Join(folder, "testdata", "*"))
	for _, input := range inputs {
		if !used[input] {
			err = errors.Join(err, fmt.Errorf("%s is in no test", input))
		}
	}
	if err != nil {
		failed = append(failed, err)
	}
	return len(suite.Tests), failed
}
