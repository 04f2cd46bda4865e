package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// maxDepth bounds how deeply a document may nest, so that nobody can make the
// evaluator recurse as deep as they like.
const maxDepth = 1000

var errTooDeep = fmt.Errorf("nested deeper than %d levels", maxDepth)

// readJSON reads one JSON document straight into OPA's representation. It means
// exactly what util.UnmarshalJSON followed by ast.InterfaceToValue means, at half
// the price: equal keys keep the last value, invalid UTF-8 becomes U+FFFD,
// numbers keep their digits, and a number whose exponent could not be handled in
// reasonable time is refused.
func readJSON(document []byte) (ast.Value, error) {
	r := jsonReader{text: string(document)}
	value, err := r.value(0)
	if err != nil {
		return nil, fmt.Errorf("at byte %d: %w", r.at, err)
	}
	r.skipSpace()
	if r.at != len(r.text) {
		return nil, fmt.Errorf("at byte %d: something follows the document", r.at)
	}
	return value, nil
}

type jsonReader struct {
	text string
	at   int
}

var (
	errEnd    = errors.New("the document ends early")
	errSyntax = errors.New("this is not JSON")
)

func (r *jsonReader) skipSpace() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\n', '\t', '\r':
			r.at++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space.
func (r *jsonReader) peek() (byte, error) {
	r.skipSpace()
	if r.at == len(r.text) {
		return 0, errEnd
	}
	return r.text[r.at], nil
}

func (r *jsonReader) value(depth int) (ast.Value, error) {
	next, err := r.peek()
	if err != nil {
		return nil, err
	}
	switch {
	case next == '{' || next == '[':
		if depth == maxDepth {
			return nil, errTooDeep
		}
		r.at++
		if next == '{' {
			return r.object(depth + 1)
		}
		return r.array(depth + 1)
	case next == '"':
		s, err := r.str()
		if err != nil {
			return nil, err
		}
		return ast.InternedTerm(s).Value, nil
	case next == '-' || (next >= '0' && next <= '9'):
		return r.number()
	case next == 't':
		return ast.InternedTerm(true).Value, r.literal("true")
	case next == 'f':
		return ast.InternedTerm(false).Value, r.literal("false")
	case next == 'n':
		return ast.NullValue, r.literal("null")
	}
	return nil, errSyntax
}

func (r *jsonReader) literal(word string) error {
	if len(r.text)-r.at < len(word) || r.text[r.at:r.at+len(word)] != word {
		return errSyntax
	}
	r.at += len(word)
	return nil
}

func (r *jsonReader) array(depth int) (ast.Value, error) {
	next, err := r.peek()
	if err != nil {
		return nil, err
	}
	if next == ']' {
		r.at++
		return ast.NewArray(), nil
	}
	var elements []*ast.Term
	for {
		value, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		elements = append(elements, ast.NewTerm(value))
		more, err := r.another(']')
		if err != nil {
			return nil, err
		}
		if !more {
			return ast.NewArray(elements...), nil
		}
	}
}

// another consumes a comma, or the closing byte, and says which it was.
func (r *jsonReader) another(closing byte) (bool, error) {
	next, err := r.peek()
	if err != nil {
		return false, err
	}
	if next != ',' && next != closing {
		return false, errSyntax
	}
	r.at++
	return next == ',', nil
}

func (r *jsonReader) object(depth int) (ast.Value, error) {
	next, err := r.peek()
	if err != nil {
		return nil, err
	}
	if next == '}' {
		r.at++
		return ast.NewObject(), nil
	}
	var members memberList
	for {
		key, value, err := r.member(depth)
		if err != nil {
			return nil, err
		}
		members.set(key, value)
		more, err := r.another('}')
		if err != nil {
			return nil, err
		}
		if !more {
			return ast.NewObject(members.pairs...), nil
		}
	}
}

func (r *jsonReader) member(depth int) (string, ast.Value, error) {
	next, err := r.peek()
	if err != nil {
		return "", nil, err
	}
	if next != '"' {
		return "", nil, errSyntax
	}
	key, err := r.str()
	if err != nil {
		return "", nil, err
	}
	next, err = r.peek()
	if err != nil {
		return "", nil, err
	}
	if next != ':' {
		return "", nil, errSyntax
	}
	r.at++
	value, err := r.value(depth)
	return key, value, err
}

// memberList collects the members of an object. ast.NewObject would keep equal
// keys side by side, so they are merged here: the last value wins.
type memberList struct {
	pairs [][2]*ast.Term
	index map[string]int // only for objects with more members than a scan is worth
}

const membersWorthScanning = 16

func (m *memberList) set(key string, value ast.Value) {
	if at, ok := m.find(key); ok {
		m.pairs[at][1] = ast.NewTerm(value)
		return
	}
	if m.index != nil {
		m.index[key] = len(m.pairs)
	}
	m.pairs = append(m.pairs, [2]*ast.Term{ast.InternedTerm(key), ast.NewTerm(value)})
	if m.index == nil && len(m.pairs) > membersWorthScanning {
		m.buildIndex()
	}
}

func (m *memberList) find(key string) (int, bool) {
	if m.index != nil {
		at, ok := m.index[key]
		return at, ok
	}
	for i := range m.pairs {
		if string(m.pairs[i][0].Value.(ast.String)) == key {
			return i, true
		}
	}
	return 0, false
}

func (m *memberList) buildIndex() {
	m.index = make(map[string]int, 4*membersWorthScanning)
	for i := range m.pairs {
		m.index[string(m.pairs[i][0].Value.(ast.String))] = i
	}
}

// str reads a string. One without escapes is a slice of the document; anything
// else is left to encoding/json, whose meaning is the one to keep.
func (r *jsonReader) str() (string, error) {
	start := r.at + 1
	plain := true
	for i := start; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			r.at = i + 1
			return decodeString(r.text[start-1:i+1], plain)
		case c == '\\':
			plain = false
			i++ // whatever is escaped does not end the string
		case c < ' ':
			r.at = i
			return "", errors.New("a control character in a string")
		}
	}
	r.at = len(r.text)
	return "", errEnd
}

func decodeString(quoted string, plain bool) (string, error) {
	inner := quoted[1 : len(quoted)-1]
	if plain && utf8.ValidString(inner) {
		return inner, nil
	}
	var decoded string
	if err := json.Unmarshal([]byte(quoted), &decoded); err != nil {
		return "", fmt.Errorf("a malformed string: %w", err)
	}
	return decoded, nil
}

func (r *jsonReader) number() (ast.Value, error) {
	start := r.at
	end := numberEnd(r.text, start)
	if end < 0 {
		return nil, errors.New("a malformed number")
	}
	r.at = end
	digits := r.text[start:end]
	if interned := ast.InternedIntNumberTermFromString(digits); interned != nil {
		return interned.Value, nil
	}
	return ast.NumberChecked(digits)
}

// numberEnd returns where the JSON number that starts at i ends, or -1 if it is
// malformed.
func numberEnd(s string, i int) int {
	if i < len(s) && s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if i = digitsEnd(s, i); i < 0 {
		return -1
	}
	if i < len(s) && s[i] == '.' {
		if i = digitsEnd(s, i+1); i < 0 {
			return -1
		}
	}
	if i == len(s) || s[i]|0x20 != 'e' {
		return i
	}
	i++
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	return digitsEnd(s, i)
}

// digitsEnd returns where the digits that start at i end, or -1 if there are none.
func digitsEnd(s string, i int) int {
	start := i
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}
