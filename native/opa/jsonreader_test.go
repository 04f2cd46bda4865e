package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// reference is what the reader must mean.
func reference(document []byte) (ast.Value, error) {
	var decoded any
	if err := util.UnmarshalJSON(document, &decoded); err != nil {
		return nil, err
	}
	return ast.InterfaceToValue(decoded)
}

var documents = map[string]string{
	"an object":                      `{"a": 1, "b": [true, false, null], "c": {"d": "e"}}`,
	"scalars":                        `[0, -0, 1, -1, 1.5, 1e3, 1E+3, 1e-3, 123456789012345678901234567890, 0.1]`,
	"empty containers":               `[{}, [], "", [[]], {"": {}}]`,
	"equal keys, the last wins":      `{"a": 1, "b": 2, "a": {"a": 3, "a": 4}}`,
	"equal keys under two spellings": `{"a": 1, "\u0061": 2}`,
	"many keys, with equal ones":     `{` + manyMembers(40) + `, "k3": "last", ` + manyMembers(2) + `}`,
	"escapes":                        `["\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00", "\ud800", "\udc00\ud800x"]`,
	"text beyond ASCII":              `{"é": "日本", "😀": "\u0000"}`,
	"invalid UTF-8":                  "[\"a\xffb\", \"\xc3\", \"\xed\xa0\x80\"]",
	"white space":                    " \t\r\n[ 1 ,\n2 ]\n",
	"an exponent beyond reason":      `1e1000000000`,
	"a large exponent":               `1e400`,
	"nothing":                        ``,
	"only space":                     `  `,
	"two documents":                  `1 2`,
	"a comma too many":               `[1,]`,
	"a comma too many in an object":  `{"a":1,}`,
	"a missing colon":                `{"a" 1}`,
	"a key that is no string":        `{1: 2}`,
	"a leading zero":                 `01`,
	"a leading plus":                 `+1`,
	"a bare point":                   `1.`,
	"a bare exponent":                `1e`,
	"a lone minus":                   `-`,
	"an unknown word":                `nul`,
	"a word with a tail":             `truex`,
	"a control character":            "\"a\nb\"",
	"an open string":                 `"abc`,
	"an open escape":                 `"abc\`,
	"a malformed escape":             `"\x41"`,
	"a short unicode escape":         `"\u12"`,
	"an open array":                  `[1`,
	"an open object":                 `{"a":1`,
	"a byte order mark":              "\xef\xbb\xbf{}",
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(`"k` + strings.Repeat("x", i/10) + string(rune('0'+i%10)) + `": ` + string(rune('0'+i%10)))
	}
	return b.String()
}

func TestReaderMeansWhatOPAMeans(t *testing.T) {
	for name, document := range documents {
		t.Run(name, func(t *testing.T) { compareWithReference(t, []byte(document)) })
	}
}

func FuzzReaderMeansWhatOPAMeans(f *testing.F) {
	for _, document := range documents {
		f.Add([]byte(document))
	}
	f.Fuzz(compareWithReference)
}

func compareWithReference(t *testing.T, document []byte) {
	got, err := readJSON(document)
	if errors.Is(err, errTooDeep) {
		return // the reference has another bound
	}
	want, wantErr := reference(document)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: got error %v, OPA gives %v", document, err, wantErr)
	}
	if err != nil {
		return
	}
	if got.Compare(want) != 0 || got.String() != want.String() || got.Hash() != want.Hash() {
		t.Fatalf("%q: got %v, OPA reads %v", document, got, want)
	}
}

func TestDeepDocumentsAreRefused(t *testing.T) {
	for depth, wanted := range map[int]error{maxDepth: nil, maxDepth + 1: errTooDeep, 1_000_000: errTooDeep} {
		document := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		if _, err := readJSON([]byte(document)); !errors.Is(err, wanted) {
			t.Errorf("depth %d: got %v, want %v", depth, err, wanted)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	document := []byte(`{` + manyMembers(300) + `}`)
	for b.Loop() {
		if _, err := readJSON(document); err != nil {
			b.Fatal(err)
		}
	}
}
