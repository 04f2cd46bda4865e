package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type serveFlags struct {
	fd          int
	memoryLimit int64
	workers     int
	queue       int
	maxPayload  uint32
}

func serveCommand() *cobra.Command {
	var flags serveFlags
	command := &cobra.Command{
		Use:   "serve --fd N",
		Short: "Evaluate policies for the process that started this one",
		Long: "Serve evaluations over an inherited stream socket until its other end is closed.\n" +
			"The protocol is described in frame.go of the source.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: false,
		RunE:          func(*cobra.Command, []string) error { return serve(flags) },
	}
	command.Flags().IntVar(&flags.fd, "fd", -1, "file descriptor of the inherited socket")
	command.Flags().Int64Var(&flags.memoryLimit, "memory-limit", 1<<30, "bytes of memory, beyond which this process dies")
	command.Flags().IntVar(&flags.workers, "workers", runtime.GOMAXPROCS(0), "evaluations at a time")
	command.Flags().IntVar(&flags.queue, "queue", 256, "evaluations that may wait")
	command.Flags().Uint32Var(&flags.maxPayload, "max-payload", 16<<20, "bytes of the largest frame")
	return command
}

// maxStack bounds the stack of one evaluation: past it the process dies.
const maxStack = 256 << 20

func serve(flags serveFlags) error {
	conn, err := inherited(flags.fd)
	if err != nil {
		return err
	}
	if err := limitMemory(flags.memoryLimit); err != nil {
		return fmt.Errorf("memory limit: %w", err)
	}
	// The collector works harder well before the hard limit is reached.
	debug.SetMemoryLimit(flags.memoryLimit / 2)
	debug.SetGCPercent(growthPercent)
	debug.SetMaxStack(maxStack)
	s := newServer(settings{
		workers:     flags.workers,
		queue:       flags.queue,
		queuedBytes: 4 * int64(flags.maxPayload),
		maxPayload:  flags.maxPayload,
	})
	return s.run(conn)
}

// inherited turns a file descriptor that the parent left open into a connection
// that Go's poller serves.
func inherited(fd int) (io.ReadWriter, error) {
	file := os.NewFile(uintptr(fd), "socket")
	if fd < 0 || file == nil {
		return nil, fmt.Errorf("--fd %d is not a file descriptor", fd)
	}
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("--fd %d is not an inherited socket: %w", fd, err)
	}
	return conn, file.Close()
}
