package main

import "golang.org/x/sys/unix"

// limitMemory makes the kernel refuse this process more memory than limit. The Go
// runtime does not survive that, which is meant: the process dies, the host does
// not notice. RLIMIT_DATA counts what is writable; RLIMIT_AS would also count the
// address space that the Go runtime reserves and never touches.
func limitMemory(limit int64) error {
	return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: uint64(limit), Max: uint64(limit)})
}
