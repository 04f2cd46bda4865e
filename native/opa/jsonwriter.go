package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// jsonWriter writes values as ast.JSON followed by json.Marshal would, without
// the intermediate copy: sets become sorted arrays, and keys that are not
// strings become their JSON text.
type jsonWriter struct {
	buf []byte
	// exact allows numbers beyond the range of a double.
	exact bool
	// wide becomes true when a number does not fit a double exactly.
	wide bool
}

func (w *jsonWriter) value(v ast.Value) error {
	switch v := v.(type) {
	case ast.Null:
		w.buf = append(w.buf, "null"...)
	case ast.Boolean:
		w.buf = strconv.AppendBool(w.buf, bool(v))
	case ast.Number:
		return w.number(string(v))
	case ast.String:
		w.str(string(v))
	case *ast.Array:
		return w.elements(v.Len(), func(i int) ast.Value { return v.Elem(i).Value })
	case ast.Set:
		sorted := v.Sorted()
		return w.elements(sorted.Len(), func(i int) ast.Value { return sorted.Elem(i).Value })
	case ast.Object:
		return w.object(v)
	default:
		return fmt.Errorf("%s is not a value", ast.ValueName(v))
	}
	return nil
}

func (w *jsonWriter) elements(n int, element func(int) ast.Value) error {
	w.buf = append(w.buf, '[')
	for i := range n {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		if err := w.value(element(i)); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, ']')
	return nil
}

func (w *jsonWriter) object(o ast.Object) error {
	w.buf = append(w.buf, '{')
	first := true
	err := o.Iter(func(key, value *ast.Term) error {
		if !first {
			w.buf = append(w.buf, ',')
		}
		first = false
		if err := w.key(key.Value); err != nil {
			return err
		}
		w.buf = append(w.buf, ':')
		return w.value(value.Value)
	})
	w.buf = append(w.buf, '}')
	return err
}

func (w *jsonWriter) key(v ast.Value) error {
	if s, ok := v.(ast.String); ok {
		w.str(string(s))
		return nil
	}
	inner := jsonWriter{exact: true}
	if err := inner.value(v); err != nil {
		return err
	}
	w.str(string(inner.buf))
	return nil
}

// digitsOfDouble is how many significant digits every double can hold.
const digitsOfDouble = 15

func (w *jsonWriter) number(text string) error {
	if numberEnd(text, 0) != len(text) {
		return fmt.Errorf("%q is not a JSON number", text)
	}
	w.buf = append(w.buf, text...)
	if len(text) <= digitsOfDouble && !hasExponent(text) {
		return nil
	}
	w.wide = true
	if w.exact {
		return nil
	}
	double, err := strconv.ParseFloat(text, 64)
	if errors.Is(err, strconv.ErrRange) || math.IsInf(double, 0) {
		return fmt.Errorf("the number %.40s is beyond the range of a double", text)
	}
	return nil
}

func hasExponent(text string) bool {
	for i := range len(text) {
		if text[i]|0x20 == 'e' {
			return true
		}
	}
	return false
}

func (w *jsonWriter) str(s string) {
	if isPlain(s) {
		w.buf = append(w.buf, '"')
		w.buf = append(w.buf, s...)
		w.buf = append(w.buf, '"')
		return
	}
	quoted, err := json.Marshal(s)
	if err != nil { // a string always has a JSON form
		panic(err)
	}
	w.buf = append(w.buf, quoted...)
}

// isPlain says whether s stands for itself between quotes.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return utf8.ValidString(s)
}
