package main

import (
	"encoding/json"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

var terms = []string{
	`{"a": 1, "b": [true, null, "x"]}`,
	`{1: 2, true: 3, null: 4, [1, "a"]: 5, {"k": "v"}: 6, {7}: 8, "s": 9}`,
	`{3, 1, "b", "a", [2], {"x": {5, 4}}}`,
	`set()`, `{}`, `[]`,
	`["quote \" backslash \\ newline \n tab \t", "<&>", "日本 é 😀", "\u2028"]`,
	`[0, -1, 1.5, 1e3, 123456789012345678901234567890, 0.1]`,
}

func TestWriterWritesWhatOPAWrites(t *testing.T) {
	for _, term := range terms {
		t.Run(term, func(t *testing.T) { compareWithOPA(t, ast.MustParseTerm(term).Value) })
	}
}

func FuzzWriterWritesWhatOPAWrites(f *testing.F) {
	for _, term := range terms {
		f.Add(term)
	}
	f.Fuzz(func(t *testing.T, text string) {
		term, err := ast.ParseTerm(text)
		if err != nil || !isValue(term) {
			return
		}
		compareWithOPA(t, term.Value)
	})
}

func isValue(term *ast.Term) bool {
	_, err := ast.JSON(term.Value)
	return err == nil
}

func compareWithOPA(t *testing.T, value ast.Value) {
	w := jsonWriter{exact: true}
	writeErr := w.value(value)
	native, err := ast.JSONWithOpt(value, ast.JSONOpt{SortSets: true})
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(native)
	if (writeErr == nil) != (err == nil) {
		t.Fatalf("%v: got error %v, OPA gives %v", value, writeErr, err)
	}
	if err != nil {
		return
	}
	if got := decoded(t, w.buf); got.Compare(decoded(t, want)) != 0 {
		t.Fatalf("got %s, OPA writes %s", w.buf, want)
	}
}

func decoded(t *testing.T, document []byte) ast.Value {
	t.Helper()
	value, err := readJSON(document)
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	return value
}

func TestInvalidUTF8IsReplaced(t *testing.T) {
	w := jsonWriter{}
	if err := w.value(ast.String("a\xffb")); err != nil || !json.Valid(w.buf) {
		t.Fatalf("%q: %v", w.buf, err)
	}
}

func TestNumbersThatADoubleCannotHoldAreMarked(t *testing.T) {
	for number, wide := range map[string]bool{
		"1": false, "999999999999999": false, "1.25": false,
		"9007199254740993": true, "1e3": true, "0.1000000000000000055": true,
	} {
		w := jsonWriter{}
		if err := w.value(ast.Number(number)); err != nil || w.wide != wide {
			t.Errorf("%s: wide %v, want %v (%v)", number, w.wide, wide, err)
		}
	}
}

func TestNumbersBeyondADoubleAreErrorsUnlessAskedFor(t *testing.T) {
	if err := (&jsonWriter{}).value(ast.Number("1e400")); err == nil {
		t.Error("1e400 was written as if a double could hold it")
	}
	if err := (&jsonWriter{exact: true}).value(ast.Number("1e400")); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotAValueIsAnError(t *testing.T) {
	if err := (&jsonWriter{}).value(ast.Var("x")); err == nil {
		t.Error("a variable was written as a value")
	}
	if err := (&jsonWriter{}).value(ast.Number("Infinity")); err == nil {
		t.Error("Infinity was written as a number")
	}
}
