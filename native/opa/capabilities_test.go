package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

// A new OPA may bring builtins: each must be put on one of the two lists.
func TestEveryBuiltinIsJudged(t *testing.T) {
	for _, builtin := range ast.CapabilitiesForThisVersion().Builtins {
		_, denied := deniedBuiltins[builtin.Name]
		allowed := slices.Contains(allowedBuiltins, builtin.Name)
		if allowed == denied {
			t.Errorf("%s: allowed %v, denied %v: put it on exactly one list", builtin.Name, allowed, denied)
		}
	}
}

func TestTheListsNameOnlyWhatExists(t *testing.T) {
	existing := map[string]bool{}
	for _, builtin := range ast.CapabilitiesForThisVersion().Builtins {
		existing[builtin.Name] = true
	}
	for _, name := range allowedBuiltins {
		if !existing[name] {
			t.Errorf("%s is allowed and does not exist", name)
		}
	}
	for name := range deniedBuiltins {
		if !existing[name] {
			t.Errorf("%s is denied and does not exist", name)
		}
	}
}

func TestDeniedBuiltinsAreRefusedUntilAllowed(t *testing.T) {
	for name, reason := range deniedBuiltins {
		t.Run(name, func(t *testing.T) {
			capabilities, err := capabilitiesWith(nil)
			if err != nil {
				t.Fatal(err)
			}
			if hasBuiltin(capabilities, name) {
				t.Error("it is available by default")
			}
			if explained := explainDenied("undefined function " + name); !strings.Contains(explained, reason) {
				t.Errorf("%q does not say why", explained)
			}
			allowed, err := capabilitiesWith([]string{name})
			if err != nil || !hasBuiltin(allowed, name) {
				t.Errorf("it is not available when allowed: %v", err)
			}
		})
	}
}

func hasBuiltin(capabilities *ast.Capabilities, name string) bool {
	return slices.ContainsFunc(capabilities.Builtins, func(b *ast.Builtin) bool { return b.Name == name })
}

func TestTheNetworkIsClosedUnlessABuiltinThatNeedsItIsAllowed(t *testing.T) {
	for name, open := range map[string]bool{"http.send": true, "net.lookup_ip_addr": true, "bits.lsh": false} {
		capabilities, err := capabilitiesWith([]string{name})
		if err != nil || (capabilities.AllowNet == nil) != open {
			t.Errorf("%s: allow_net %v (%v)", name, capabilities.AllowNet, err)
		}
	}
}

func TestAllowingWhatDoesNotExistIsAnError(t *testing.T) {
	if _, err := capabilitiesWith([]string{"htp.send"}); err == nil {
		t.Error("htp.send was allowed")
	}
}

func TestOtherUndefinedFunctionsKeepTheirMessage(t *testing.T) {
	for _, message := range []string{"undefined function foo", "var x is unsafe"} {
		if got := explainDenied(message); got != message {
			t.Errorf("%q became %q", message, got)
		}
	}
}
