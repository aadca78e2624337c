//go:build !unix

package broker

// lock does nothing: only Unix has a lock that ends with the process.
func lock(string) (unlock func(), err error) { return func() {}, nil }
