package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/util"
)

// policySetSource is a policy set as it arrives.
type policySetSource struct {
	Units []unitSource `json:"units"`
	// Allow names builtins that are denied by default.
	Allow []string `json:"allow"`
}

// unitSource is one policy: it is compiled, and answers, on its own.
type unitSource struct {
	Name                string            `json:"name"`
	Query               string            `json:"query"`
	Modules             map[string]string `json:"modules"` // by path, for positions
	Data                json.RawMessage   `json:"data"`
	RegoVersion         string            `json:"regoVersion"` // v0 or v1
	StrictBuiltinErrors bool              `json:"strictBuiltinErrors"`
	// Answers are the paths of the sets that the query reads. At least one must be
	// defined, and each that is must be a set: the query would find nothing in a
	// misspelt or complete rule, and a policy that finds nothing grants.
	Answers []string `json:"answers"`
	// Packages says, by path, which package a module must be in, or below.
	Packages map[string]string `json:"packages"`
}

// problem is one reason why a policy set is refused.
type problem struct {
	Unit    string `json:"unit"`
	File    string `json:"file"`
	Row     int    `json:"row"`
	Column  int    `json:"column"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// policySet is compiled and never changes.
type policySet struct {
	digest [digestSize]byte
	units  []*unit
}

type unit struct {
	name          string
	compiler      *ast.Compiler
	queryCompiler ast.QueryCompiler
	query         ast.Body
	rewritten     map[ast.Var]ast.Var
	store         storage.Store
	strict        bool
}

// maxProblems bounds how many compile errors of one unit are reported.
const maxProblems = 100

func compilePolicySet(digest [digestSize]byte, source []byte) (*policySet, []problem) {
	var parsed policySetSource
	decoder := json.NewDecoder(bytes.NewReader(source))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&parsed); err != nil {
		return nil, []problem{{Code: "bad_policy_set", Message: err.Error()}}
	}
	capabilities, err := capabilitiesWith(parsed.Allow)
	if err != nil {
		return nil, []problem{{Code: "bad_policy_set", Message: err.Error()}}
	}
	build := builder{capabilities: capabilities, parsed: map[moduleKey]*ast.Module{}}
	set := &policySet{digest: digest}
	var problems []problem
	for i := range parsed.Units {
		compiled, found := build.unit(&parsed.Units[i])
		problems = append(problems, found...)
		set.units = append(set.units, compiled)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return set, nil
}

// builder compiles the units of one set, and parses what they share once.
type builder struct {
	capabilities *ast.Capabilities
	parsed       map[moduleKey]*ast.Module
}

type moduleKey struct {
	path, source string
	version      ast.RegoVersion
}

func (b *builder) unit(source *unitSource) (compiled *unit, problems []problem) {
	defer func() {
		if cause := recover(); cause != nil {
			message := fmt.Sprintf("the compiler failed: %v\n%s", cause, debug.Stack())
			problems = []problem{{Unit: source.Name, Code: "internal", Message: message}}
		}
	}()
	version, ok := map[string]ast.RegoVersion{"v0": ast.RegoV0, "v1": ast.RegoV1}[source.RegoVersion]
	if !ok {
		message := fmt.Sprintf("regoVersion is %q, it must be v0 or v1", source.RegoVersion)
		return nil, []problem{{Unit: source.Name, Code: "bad_policy_set", Message: message}}
	}
	modules, err := b.parse(source.Modules, version)
	if err != nil {
		return nil, problemsOf(source.Name, err)
	}
	if err := checkPackages(modules, source.Packages); err != nil {
		return nil, problemsOf(source.Name, err)
	}
	compiled, err = b.compile(source, modules, version)
	if err != nil {
		return nil, problemsOf(source.Name, err)
	}
	return compiled, nil
}

// parse parses every module, and returns the errors of all of them.
func (b *builder) parse(sources map[string]string, version ast.RegoVersion) (map[string]*ast.Module, error) {
	modules := make(map[string]*ast.Module, len(sources))
	var failed ast.Errors
	for _, path := range util.KeysSorted(sources) {
		module, err := b.module(moduleKey{path: path, source: sources[path], version: version})
		var errs ast.Errors
		if errors.As(err, &errs) {
			failed = append(failed, errs...)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		modules[path] = module
	}
	if len(failed) > 0 {
		return nil, failed
	}
	return modules, nil
}

func (b *builder) module(key moduleKey) (*ast.Module, error) {
	if module, ok := b.parsed[key]; ok {
		return module, nil
	}
	module, err := ast.ParseModuleWithOpts(key.path, key.source, ast.ParserOptions{
		RegoVersion:  key.version,
		Capabilities: b.capabilities,
	})
	if err != nil {
		return nil, err
	}
	if module == nil {
		return nil, ast.Errors{ast.NewError(ast.ParseErr, ast.NewLocation(nil, key.path, 1, 1), "the module is empty")}
	}
	b.parsed[key] = module
	return module, nil
}

func (b *builder) compile(
	source *unitSource, modules map[string]*ast.Module, version ast.RegoVersion,
) (*unit, error) {
	compiler := ast.NewCompiler().
		WithDefaultRegoVersion(version).
		WithCapabilities(b.capabilities).
		SetErrorLimit(maxProblems)
	compiler.Compile(modules)
	if compiler.Failed() {
		return nil, compiler.Errors
	}
	if err := checkAnswers(compiler, source.Answers); err != nil {
		return nil, err
	}
	// Queries are ours, and in the current language, whatever the modules are in.
	body, err := ast.ParseBodyWithOpts(source.Query, ast.ParserOptions{Capabilities: b.capabilities})
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	queryCompiler := compiler.QueryCompiler()
	query, err := queryCompiler.Compile(body)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	store, err := storeOf(source.Data)
	if err != nil {
		return nil, err
	}
	return &unit{
		name:          source.Name,
		compiler:      compiler,
		queryCompiler: queryCompiler,
		query:         query,
		rewritten:     queryCompiler.RewrittenVars(),
		store:         store,
		strict:        source.StrictBuiltinErrors,
	}, nil
}

func checkPackages(modules map[string]*ast.Module, packages map[string]string) error {
	var failed ast.Errors
	for _, path := range util.KeysSorted(packages) {
		module, ok := modules[path]
		if !ok {
			return fmt.Errorf("packages: there is no module %s", path)
		}
		if want, is := packages[path], module.Package.Path.String(); !strings.HasPrefix(is+".", want+".") {
			failed = append(failed, ast.NewError(ast.TypeErr, module.Package.Location,
				"the package must be %s, as its directory says", strings.TrimPrefix(want, "data.")))
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func checkAnswers(compiler *ast.Compiler, answers []string) error {
	defined := len(answers) == 0
	for _, answer := range answers {
		ref, err := ast.ParseRef(answer)
		if err != nil {
			return fmt.Errorf("answers: %w", err)
		}
		for _, rule := range compiler.GetRulesWithPrefix(ref) {
			defined = true
			if rule.Head.RuleKind() != ast.MultiValue {
				name := answer[strings.LastIndex(answer, ".")+1:]
				return ast.Errors{ast.NewError(ast.TypeErr, rule.Location,
					"%s must be a set: write `%s contains … if …`", answer, name)}
			}
		}
	}
	if !defined {
		return fmt.Errorf("the policy defines none of %s: check its package and the names of its rules",
			strings.Join(answers, ", "))
	}
	return nil
}

func storeOf(data json.RawMessage) (storage.Store, error) {
	object := map[string]any{}
	if len(data) > 0 {
		if err := util.UnmarshalJSON(data, &object); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
	}
	return inmem.NewFromObjectWithOpts(object, inmem.OptReturnASTValuesOnRead(true)), nil
}

// problemsOf flattens an error of the parser or the compiler.
func problemsOf(unit string, err error) []problem {
	var errs ast.Errors
	if !errors.As(err, &errs) {
		return []problem{{Unit: unit, Code: "bad_policy_set", Message: err.Error()}}
	}
	var problems []problem
	for _, e := range errs {
		found := problem{Unit: unit, Code: e.Code, Message: explainDenied(e.Message)}
		if e.Location != nil {
			found.File, found.Row, found.Column = e.Location.File, e.Location.Row, e.Location.Col
		}
		if !slices.Contains(problems, found) {
			problems = append(problems, found)
		}
	}
	return problems
}
