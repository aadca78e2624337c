package configstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/wire"
)

// copied is what the file copy holds: the newest revision, in the form of its
// message, and beside it what else must outlive the store.
type copied struct {
	wire.ConfigEntry
	Epoch uint64               `json:"epoch,omitempty"`
	Holds map[string]wire.Hold `json:"holds,omitempty"` // by provider
}

func (c copied) document() (*config.Document, error) {
	doc, _, err := config.Parse(c.Config)
	return doc, err
}

// copyFile is config.json in the data directory.
type copyFile struct {
	path string

	mu    sync.Mutex
	state copied // what the file holds; guarded by mu
}

// openCopy reads the file. One that cannot be understood is moved aside.
func openCopy(dir string, now func() time.Time, log *slog.Logger) (*copyFile, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("configstore: cannot make the data directory: %w; check --data-dir and its permissions", err)
	}
	c := &copyFile{path: filepath.Join(dir, "config.json")}
	data, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		if c.state, err = readCopy(data); err == nil {
			return c, nil
		}
		if errors.Is(err, wire.ErrVersion) {
			return nil, fmt.Errorf("configstore: %s: %w", c.path, err)
		}
	}
	c.state = copied{}
	aside := c.path + ".damaged-" + now().UTC().Format("20060102T150405.000000000Z")
	if err := os.Rename(c.path, aside); err != nil {
		return nil, fmt.Errorf("configstore: cannot move the damaged file copy aside: %w", err)
	}
	log.Error("the file copy of the configuration cannot be read and was moved aside", "error", err, "moved_to", aside)
	return c, nil
}

func readCopy(data []byte) (copied, error) {
	var c copied
	if _, err := wire.Decode[wire.ConfigEntry](data[:min(len(data), wire.MaxMessage)]); errors.Is(err, wire.ErrVersion) {
		return c, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, err
	}
	if c.Revision == 0 {
		if len(c.Config) > 0 && string(c.Config) != "null" {
			return c, errors.New("a configuration without a revision")
		}
		return c, nil // an epoch or a hold came first
	}
	_, err := c.document()
	return c, err
}

func (c *copyFile) held() copied {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// write puts a change into the file copy and, between preparing that and making it
// count, into the bucket: all of it or nothing. A copy that cannot be renamed in
// the end is only logged: the bucket has the change.
func (s *Store) write(change func(*copied), store func() error) error {
	c := s.copy
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.state.clone()
	change(&next)
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	unfinished, err := prepare(c.path, append(data, '\n'))
	if err != nil {
		return fmt.Errorf("the file copy: %w", full(err))
	}
	if err := store(); err != nil {
		_ = os.Remove(unfinished)
		return err
	}
	if err := commit(unfinished, c.path); err != nil {
		s.opts.Log.Error("the file copy of the configuration could not be replaced; the store has the change", "error", err)
		return nil
	}
	c.state = next
	return nil
}

func (c copied) clone() copied {
	holds := make(map[string]wire.Hold, len(c.Holds)+1)
	maps.Copy(holds, c.Holds)
	c.Holds = holds
	return c
}

// prepare writes and flushes a file under another name.
func prepare(path string, data []byte) (unfinished string, err error) {
	unfinished = path + ".new"
	f, err := os.OpenFile(unfinished, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(unfinished)
	}
	return unfinished, err
}

// commit gives the file its name, and makes that last.
func commit(unfinished, path string) error {
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	err = dir.Sync()
	return errors.Join(err, dir.Close())
}

// full gives an error of a full disk its name.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w (%w)", ErrFull, err)
	}
	return err
}
