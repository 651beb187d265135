package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func seen(t *testing.T, text string) map[string]any {
	t.Helper()
	found, err := object([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAScriptHasWhatArgoCDGivesItAndNoMore(t *testing.T) {
	for script, want := range map[string]string{
		`return {status = "Healthy", message = obj.spec.name .. " " .. obj.spec.count .. " " .. obj.spec.list[2]}`: "Healthy a 3 z",
		`for name, _ in pairs(obj.spec.none) do return {} end return {status = "Healthy", message = "none"}`:       "Healthy none",
		`return {status = "Fine"}`: "Unknown Lua returned an invalid health status",
	} {
		found, err := health(script, seen(t, `{spec: {name: a, count: 3, list: [x, z], none: {}}}`))
		if err != nil || found.Status+" "+found.Message != want {
			t.Errorf("%s: %+v %v", script, found, err)
		}
	}
	for script, words := range map[string]string{
		`return {status = string.upper("healthy")}`: "non-table",
		`return {status = ("healthy"):upper()}`:     "non-table",
		`return io.open("/etc/passwd")`:             "non-table",
		`return os.getenv("HOME")`:                  "non-table",
		`while true do end`:                         "deadline",
		`return "Healthy"`:                          "not a table",
		`return {status = 1}`:                       "not a string",
	} {
		if found, err := health(script, seen(t, `{}`)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %+v %v", script, found, err)
		}
	}
}

func TestWhatIsBeingDeletedIsProgressing(t *testing.T) {
	found, err := health(`return {status = "Healthy"}`, seen(t, `{metadata: {deletionTimestamp: "2026-11-24T00:00:00Z"}}`))
	if err != nil || found.Status != "Progressing" {
		t.Fatal(found, err)
	}
}

func TestKstatusIsFluxs(t *testing.T) {
	head := `{apiVersion: outbound.dev/v1alpha1, kind: OutboundDelivery, metadata: {name: a, generation: 2}, status: `
	for status, want := range map[string]string{
		`{observedGeneration: 1, conditions: [{type: Ready, status: "True"}]}}`:                                   "InProgress",
		`{observedGeneration: 2, conditions: [{type: Ready, status: "True"}]}}`:                                   "Current",
		`{observedGeneration: 2, conditions: [{type: Stalled, status: "True"}, {type: Ready, status: "False"}]}}`: "Failed",
	} {
		found, err := kstatus(seen(t, head+status))
		if err != nil || found.Status != want {
			t.Errorf("%s: %+v %v", status, found, err)
		}
	}
}

// A checker that can't fail checks nothing.
func TestAWrongHealthTestIsFound(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	suite := "tests:\n- inputPath: testdata/a.yaml\n  healthStatus: {status: Healthy, message: well}\n"
	write("health.lua", `return {status = "Healthy", message = obj.said}`)
	write("health_test.yaml", suite)
	write("testdata/a.yaml", "said: well")
	var output strings.Builder
	if err := healthTests(folder, &output); err != nil || output.String() != "1 scripts, 1 tests\n" {
		t.Fatal(output.String(), err)
	}
	write("testdata/a.yaml", "said: badly")
	if err := healthTests(folder, &output); err == nil {
		t.Error("a wrong message wasn't found")
	}
	write("testdata/a.yaml", "said: well")
	write("testdata/b.yaml", "said: well")
	if err := healthTests(folder, &output); err == nil || !strings.Contains(err.Error(), "in no test") {
		t.Error("a forgotten input wasn't found", err)
	}
	if err := healthTests(t.TempDir(), &output); err == nil {
		t.Error("no test is no success")
	}
}

func TestAnUnknownFieldOfAHelmReleaseIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "release.yaml")
	good := "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a}\nspec:\n  interval: 1h\n"
	for text, want := range map[string]bool{good: true, good + "  intervall: 1h\n": false, "kind: Other\n": false} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var output strings.Builder
		if err := helmReleases([]string{path}, &output); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}
