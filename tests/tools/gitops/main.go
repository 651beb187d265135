// Command gitops says what GitOps tools make of an object: Flux by kstatus, Argo CD by a health script.
//
//	gitops look HEALTH.LUA < object.yaml     prints both answers in JSON
//	gitops health FOLDER                     runs every health_test.yaml below FOLDER, as Argo CD's repository does
//	gitops helmreleases FILE...              reads Flux HelmReleases strictly: an unknown field is refused
//
// Exit status: 0; 1 when something isn't as it should be, which is said on standard error.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gitops:", err)
		os.Exit(1)
	}
}

func run(arguments []string, input io.Reader, output io.Writer) error {
	switch {
	case len(arguments) == 2 && arguments[0] == "look":
		return look(arguments[1], input, output)
	case len(arguments) == 2 && arguments[0] == "health":
		return healthTests(arguments[1], output)
	case len(arguments) >= 2 && arguments[0] == "helmreleases":
		return helmReleases(arguments[1:], output)
	}
	return errors.New("usage: gitops look HEALTH.LUA | gitops health FOLDER | gitops helmreleases FILE...")
}

// object is one document of JSON or YAML.
func object(document []byte) (map[string]any, error) {
	var object map[string]any
	if err := yaml.Unmarshal(document, &object); err != nil {
		return nil, err
	}
	return object, nil
}

// look prints what kstatus and the script say of the object.
func look(path string, input io.Reader, output io.Writer) error {
	script, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	document, err := io.ReadAll(input)
	if err != nil {
		return err
	}
	seen, err := object(document)
	if err != nil {
		return err
	}
	flux, err := kstatus(seen)
	if err != nil {
		return fmt.Errorf("kstatus: %w", err)
	}
	argo, err := health(string(script), seen)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return json.NewEncoder(output).Encode(map[string]verdict{"kstatus": flux, "argocd": argo})
}
