package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/util"
)

// evaluation is what all units of one request share.
type evaluation struct {
	input  *ast.Term // nil: undefined
	now    time.Time
	cancel topdown.Cancel
	exact  bool
}

// unitError is why one unit has no value. Text is the error as OPA prints it.
type unitError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	File    string `json:"file"`
	Row     int    `json:"row"`
	Column  int    `json:"column"`
	Text    string `json:"text"`
}

var errCancelled = errors.New("cancelled")

// answer appends the answers of all units, in their order, to buf. It says
// whether a number in them is wide. It fails only when it was cancelled.
func (s *policySet) answer(ctx context.Context, e *evaluation, buf []byte) ([]byte, bool, error) {
	w := jsonWriter{buf: append(buf, '['), exact: e.exact}
	for i, u := range s.units {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = append(w.buf, `{"unit":`...)
		w.str(u.name)
		start := len(w.buf)
		w.buf = append(w.buf, `,"value":`...)
		err := u.write(ctx, e, &w)
		if e.cancel.Cancelled() {
			return nil, false, errCancelled
		}
		if err != nil {
			w.buf = append(w.buf[:start], `,"error":`...)
			w.buf = append(w.buf, util.MustMarshalJSON(describe(err))...)
		}
		w.buf = append(w.buf, '}')
	}
	w.buf = append(w.buf, ']')
	return w.buf, w.wide, nil
}

// write evaluates the unit and writes the list of its query's bindings. A panic
// in OPA is this unit's error: the others still stand.
func (u *unit) write(ctx context.Context, e *evaluation, w *jsonWriter) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the evaluator failed: %v", cause)
		}
	}()
	results, err := u.run(ctx, e)
	if err != nil {
		return err
	}
	w.buf = append(w.buf, '[')
	for i, result := range results {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		if err := u.writeBindings(result, w); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, ']')
	return nil
}

func (u *unit) run(ctx context.Context, e *evaluation) (topdown.QueryResultSet, error) {
	txn, err := u.store.NewTransaction(ctx)
	if err != nil {
		return nil, err
	}
	defer u.store.Abort(ctx, txn)
	return u.prepare(txn, e).Run(ctx)
}

func (u *unit) prepare(txn storage.Transaction, e *evaluation) *topdown.Query {
	return topdown.NewQuery(u.query).
		WithQueryCompiler(u.queryCompiler).
		WithCompiler(u.compiler).
		WithStore(u.store).
		WithTransaction(txn).
		WithMetrics(metrics.NoOp()).
		WithCancel(e.cancel).
		WithInput(e.input).
		WithTime(e.now).
		WithStrictBuiltinErrors(u.strict)
}

// writeBindings writes one result: the author's variables, under the names the
// author gave them.
func (u *unit) writeBindings(result topdown.QueryResult, w *jsonWriter) error {
	names := make([]string, 0, len(result))
	values := make(map[string]ast.Value, len(result))
	for variable, term := range result {
		if original, ok := u.rewritten[variable]; ok {
			variable = original
		}
		if variable.IsGenerated() || variable.IsWildcard() {
			continue
		}
		names = append(names, string(variable))
		values[string(variable)] = term.Value
	}
	slices.Sort(names)
	w.buf = append(w.buf, '{')
	for i, name := range names {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.str(name)
		w.buf = append(w.buf, ':')
		if err := w.value(values[name]); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, '}')
	return nil
}

func describe(err error) unitError {
	found, ok := errors.AsType[*topdown.Error](err)
	if !ok {
		return unitError{Code: "internal", Message: err.Error(), Text: err.Error()}
	}
	described := unitError{Code: found.Code, Message: found.Message, Text: found.Error()}
	if found.Location != nil {
		described.File, described.Row, described.Column = found.Location.File, found.Location.Row, found.Location.Col
	}
	return described
}

// faultPayload is the body of a fault.
func faultPayload(buf []byte, code faultCode, message string) []byte {
	body, err := json.Marshal(map[string]string{"code": string(code), "message": message})
	if err != nil { // two strings always have a JSON form
		panic(err)
	}
	return append(buf, body...)
}
