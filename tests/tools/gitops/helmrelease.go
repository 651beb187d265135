package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	helm "github.com/fluxcd/helm-controller/api/v2"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// helmReleases reads each HelmRelease in the files by Flux's own types.
func helmReleases(paths []string, output io.Writer) error {
	read := 0
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(file)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			found, err := object(document)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if found["kind"] != helm.HelmReleaseKind {
				continue
			}
			var release helm.HelmRelease
			if err := yaml.UnmarshalStrict(document, &release); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if found["apiVersion"] != helm.GroupVersion.String() {
				return fmt.Errorf("%s: apiVersion is %v, not %s", path, found["apiVersion"], helm.GroupVersion)
			}
			read++
		}
	}
	if read == 0 {
		return errors.New("no HelmRelease in these files")
	}
	_, err := fmt.Fprintf(output, "%d HelmReleases\n", read)
	return err
}
