//go:build !linux

package main

// limitMemory does nothing where no such limit works; the soft limit of the Go
// runtime remains.
func limitMemory(int64) error { return nil }
