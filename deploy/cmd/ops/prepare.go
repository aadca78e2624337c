package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The users of the Dockerfile. The nodes (65532) share the group with the
// controller, so both read the NATS secret; the admin token is the controller's
// alone.
const (
	controlUser = 65533
	group       = 65532
)

// secrets are made at the first start and never touched again: a second start
// must not lock out the nodes that are running.
var secrets = []struct {
	name string
	mode fs.FileMode
}{
	{"nats-secret", 0o440},
	{"admin-token", 0o400},
}

// prepare makes the secrets in dir and hands over the folders of own,
// "PATH:UID:GID,...", which the container engine makes as root's.
func prepare(dir, own string, stdout io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, s := range secrets {
		path := filepath.Join(dir, s.name)
		made, err := makeSecret(path, s.mode)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if made {
			fmt.Fprintln(stdout, "made", path)
		} else {
			fmt.Fprintln(stdout, "kept", path)
		}
	}
	if own == "" {
		return nil
	}
	for entry := range strings.SplitSeq(own, ",") {
		if err := handOver(entry); err != nil {
			return fmt.Errorf("OPS_OWN, %q: %w", entry, err)
		}
		fmt.Fprintln(stdout, "handed over", entry)
	}
	return nil
}

// makeSecret writes a new secret unless there is one. It appears with its
// content and owner or not at all: a file that a crash left empty would be a
// password that is empty.
func makeSecret(path string, mode fs.FileMode) (made bool, err error) {
	if info, err := os.Stat(path); err == nil {
		if info.Size() == 0 {
			return false, errors.New("the file is empty; delete it, and the next start makes a new one")
		}
		return false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	unfinished := path + ".new"
	_ = os.Remove(unfinished) // of a start that was cut off
	if err := os.WriteFile(unfinished, []byte(rand.Text()+rand.Text()+"\n"), mode); err != nil {
		return false, err
	}
	if os.Getuid() == 0 { // else all run as one user, as in a test
		if err := os.Chown(unfinished, controlUser, group); err != nil {
			return false, err
		}
	}
	return true, os.Rename(unfinished, path)
}

// handOver makes the folder of "PATH:UID:GID" and gives it to that user.
func handOver(entry string) error {
	words := strings.Split(entry, ":")
	if len(words) != 3 {
		return errors.New("use PATH:UID:GID")
	}
	uid, err1 := strconv.Atoi(words[1])
	gid, err2 := strconv.Atoi(words[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := os.MkdirAll(words[0], 0o755); err != nil {
		return err
	}
	return os.Chown(words[0], uid, gid)
}
