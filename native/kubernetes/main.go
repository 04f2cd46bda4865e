// Command governor-kubernetes is a whole Kubernetes control plane in one
// binary: its first argument, or the name it is called by, picks the component.
//
// It adds nothing to the components and starts nothing by itself: addresses,
// certificates, processes and their end are the launcher's business
// (native/controlplane.py).
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json, as in the upstream binaries
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics, likewise
	_ "k8s.io/component-base/metrics/prometheus/version"  // version metric, likewise
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

var components = map[string]func(args []string) int{
	"etcd": func(args []string) int {
		etcdmain.Main(args)
		return 0
	},
	"kube-apiserver": func([]string) int {
		return cli.Run(apiserver.NewAPIServerCommand())
	},
	"kube-controller-manager": func([]string) int {
		return cli.Run(controllermanager.NewControllerManagerCommand())
	},
	"kube-scheduler": func([]string) int {
		return cli.Run(scheduler.NewSchedulerCommand())
	},
	"kubectl": func([]string) int {
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	},
}

func main() {
	args := os.Args
	name := filepath.Base(args[0])
	run, known := components[name]
	if !known && len(args) > 1 {
		name, args = args[1], args[1:]
		run, known = components[name]
	}
	if !known {
		fmt.Fprintf(os.Stderr, "usage: governor-kubernetes {%s} [flags]\n", strings.Join(names(), "|"))
		os.Exit(2)
	}
	os.Args = args
	os.Exit(run(args))
}

func names() []string {
	var all []string
	for name := range components {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
