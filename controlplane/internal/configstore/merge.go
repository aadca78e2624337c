package configstore

import (
	"strings"

	"apiproxy.internal/shared/config"
)

// Merge is the document that a merge patch (RFC 7396) makes of another one. The
// patch is JSON if it begins with "{" and YAML otherwise. The error is
// config.Problems.
func Merge(old *config.Document, patch []byte) (merged *config.Document, warnings []config.Problem, err error) {
	patch, err = config.ToJSON(patch)
	if err != nil {
		return nil, nil, err
	}
	outcome, err := MergePatch(old.JSON(), patch)
	if err != nil {
		return nil, nil, config.Problems{{Message: strings.TrimPrefix(err.Error(), "the patch: ")}}
	}
	return config.Parse(outcome)
}
