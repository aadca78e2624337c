package configstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MergePatch applies a merge patch (RFC 7396) to a JSON object. It refuses a patch
// that is not one JSON object or names a field twice, which encoding/json would
// let pass. Numbers keep their digits.
func MergePatch(document, patch []byte) ([]byte, error) {
	target, err := readJSON(document)
	if err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	change, err := readJSON(patch)
	if err != nil {
		return nil, fmt.Errorf("the patch: %w", err)
	}
	if _, ok := change.(map[string]any); !ok {
		// The RFC would replace the whole document by it.
		return nil, errors.New("the patch: it must be a JSON object, such as {\"proxy\":{\"cache_ttl\":\"30s\"}}")
	}
	return json.Marshal(merge(target, change))
}

// merge is the algorithm of RFC 7396 section 2.
func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = merge(object[name], value)
		}
	}
	return object
}

// readJSON reads exactly one value without duplicate names.
func readJSON(data []byte) (any, error) {
	if !json.Valid(data) {
		var v any
		return nil, fmt.Errorf("not valid JSON: %w", json.Unmarshal(data, &v))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := readValue(dec, "")
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return v, err
}

// readValue reads from text that is known to be valid.
func readValue(dec *json.Decoder, path string) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return nil, err
			}
			key, _ := name.(string)
			at := join(path, key)
			if _, twice := object[key]; twice {
				return nil, fmt.Errorf("%s: given twice", at)
			}
			if object[key], err = readValue(dec, at); err != nil {
				return nil, err
			}
		}
		_, err := dec.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			item, err := readValue(dec, path)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err := dec.Token()
		return list, err
	}
	return token, nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
