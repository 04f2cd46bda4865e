// Command governor-opa is OPA: its own command line (eval, check, test, fmt,
// bench, ...), for authors of policies and for CI, plus the subcommand serve,
// which evaluates a loaded policy set for the process that started it.
//
// It decides nothing about Kubernetes: documents come in, values go out.
package main

import (
	"errors"
	"os"

	"github.com/open-policy-agent/opa/cmd"
)

func main() {
	root := cmd.RootCommand
	root.Use = "governor-opa"
	root.AddCommand(serveCommand())
	os.Exit(exitCode(root.Execute()))
}

// exitCode keeps the exit status that OPA's own commands ask for, which scripts
// rely on (`opa eval --fail`, `opa test`).
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if wanted, ok := errors.AsType[*cmd.ExitError](err); ok {
		return wanted.Exit
	}
	return 1
}
