package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/util"
)

// client asks one question at a time over a pipe.
type client struct {
	t    *testing.T
	conn net.Conn
	next uint64
}

func startServer(t *testing.T, s settings) *client {
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- newServer(s).run(theirs) }()
	t.Cleanup(func() {
		if err := ours.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return &client{t: t, conn: ours}
}

func defaults() settings {
	return settings{workers: 1, queue: 1, queuedBytes: 1 << 20, maxPayload: 1 << 20}
}

func (c *client) send(kind, flags byte, payload []byte) uint64 {
	c.t.Helper()
	c.next++
	if _, err := c.conn.Write(finishFrame(append(startFrame(0), payload...), kind, flags, c.next)); err != nil {
		c.t.Fatal(err)
	}
	return c.next
}

func (c *client) receive() frame {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	f, err := readFrame(c.conn, 1<<20)
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

func (c *client) ask(kind, flags byte, payload []byte) frame {
	c.t.Helper()
	id := c.send(kind, flags, payload)
	f := c.receive()
	if f.id != id {
		c.t.Fatalf("asked %d, answered %d", id, f.id)
	}
	return f
}

func (c *client) load(mark byte, units ...unitSource) frame {
	c.t.Helper()
	source := util.MustMarshalJSON(policySetSource{Units: units})
	return c.ask(kindLoad, 0, append(digestOf(mark), source...))
}

func digestOf(mark byte) []byte { return bytes.Repeat([]byte{mark}, digestSize) }

func unitOf(name, query, module string) unitSource {
	return unitSource{
		Name: name, Query: query, Modules: map[string]string{name + ".rego": module},
		RegoVersion: "v1", StrictBuiltinErrors: true,
	}
}

func evaluationOf(allowed time.Duration, now int64, document string) []byte {
	payload := binary.BigEndian.AppendUint64(nil, uint64(now))
	payload = binary.BigEndian.AppendUint64(payload, uint64(allowed))
	return append(payload, document...)
}

func (c *client) evaluate(document string) (digest []byte, units string) {
	c.t.Helper()
	f := c.ask(kindEvaluate, 0, evaluationOf(10*time.Second, 7, document))
	if f.kind != kindAnswer {
		c.t.Fatalf("kind %#x: %s", f.kind, f.payload)
	}
	return f.payload[:digestSize], string(f.payload[digestSize:])
}

func faultOf(t *testing.T, f frame) string {
	t.Helper()
	var body struct{ Code string }
	if err := json.Unmarshal(f.payload, &body); f.kind != kindFault || err != nil {
		t.Fatalf("kind %#x: %s", f.kind, f.payload)
	}
	return body.Code
}

// busy keeps a worker for longer than any of these tests takes, and no longer: what
// a test leaves behind runs on beside the next one.
const busy = 3 * time.Second

const (
	conflicting = "package a\nx := 1 if input.a\nx := 2 if input.a\n"
	forever     = "package a\nx := count([1 | numbers.range(1, 100000)[_]; numbers.range(1, 100000)[_]])\n"
)

func TestEveryUnitAnswersForItself(t *testing.T) {
	c := startServer(t, defaults())
	c.load(1, unitOf("bad", "x := data.a.x", conflicting), unitOf("good", "y := input.a", "package b\n"))
	digest, units := c.evaluate(`{"a": "é\n"}`)
	if !bytes.Equal(digest, digestOf(1)) {
		t.Errorf("digest %x", digest)
	}
	if !strings.Contains(units, `"code":"eval_conflict_error"`) || !strings.Contains(units, `"file":"bad.rego","row":3`) {
		t.Errorf("no conflict with its position in %s", units)
	}
	if !strings.Contains(units, `{"unit":"good","value":[{"y":"é\n"}]}`) {
		t.Errorf("the other unit's value is missing in %s", units)
	}
}

func TestTheTimeIsTheRequests(t *testing.T) {
	c := startServer(t, defaults())
	c.load(1, unitOf("u", "x := time.now_ns()", "package a\n"))
	if _, units := c.evaluate("{}"); units != `[{"unit":"u","value":[{"x":7}]}]` {
		t.Error(units)
	}
}

func TestInputMayBeUndefinedOrATerm(t *testing.T) {
	c := startServer(t, defaults())
	c.load(1, unitOf("u", "x := input", "package a\n"))
	for flags, want := range map[byte]string{flagUndefined: `[]`, flagTerm: `[{"x":[1,2]}]`} {
		f := c.ask(kindEvaluate, flags, evaluationOf(time.Second, 0, "{2, 1}"))
		if got := string(f.payload[digestSize:]); got != `[{"unit":"u","value":`+want+`}]` {
			t.Errorf("flags %d: %s", flags, got)
		}
	}
}

func TestARefusedSetLeavesTheOldOneServing(t *testing.T) {
	c := startServer(t, defaults())
	c.load(1, unitOf("u", "x := 1", "package a\n"))
	f := c.load(2, unitOf("u", "x := 1", "package a\n\np if http.send({})\n"))
	if f.kind != kindRejected || !strings.Contains(string(f.payload), `"row":3,"column":6`) {
		t.Fatalf("kind %#x: %s", f.kind, f.payload)
	}
	if digest, _ := c.evaluate("{}"); !bytes.Equal(digest, digestOf(1)) {
		t.Errorf("digest %x answers", digest)
	}
}

func TestSetsThatAreRefused(t *testing.T) {
	v9 := unitOf("u", "x := 1", "package a\n")
	v9.RegoVersion = "v9"
	badData := unitOf("u", "x := 1", "package a\n")
	badData.Data = json.RawMessage(`[1]`)
	for name, c := range map[string]struct {
		unit unitSource
		want string
	}{
		"two parse errors":    {unitSource{Name: "u", Query: "x := 1", RegoVersion: "v1", Modules: map[string]string{"a.rego": "package a\np :=", "b.rego": "package b\nq ="}}, `"file":"b.rego"`},
		"an empty module":     {unitOf("u", "x := 1", ""), "empty"},
		"recursion":           {unitOf("u", "x := 1", "package a\n\np if q\n\nq if p\n"), "rego_recursion_error"},
		"an unsafe query":     {unitOf("u", "x > 1", "package a\n"), "rego_unsafe_var_error"},
		"a query with errors": {unitOf("u", "x :=", "package a\n"), "rego_parse_error"},
		"an unknown version":  {v9, "regoVersion"},
		"another package":     {placed("package b\n"), `"file":"u.rego","row":1`},
		"a similar package":   {placed("package ab\n"), "the package must be a"},
		"no answer defined":   {answering("package a\n\ndenny contains 1 if true\n"), "defines none of data.a.deny, data.a.warn"},
		"a complete answer":   {answering("package a\n\ndeny := true if input.x\n"), "must be a set: write `deny contains"},
		"an answer by key":    {answering("package a\n\ndeny[k] := 1 if some k in [1]\n"), "must be a set"},
		"an answer with else": {answering("package a\n\nwarn contains 1\n\ndefault deny := false\n"), "must be a set"},
		"data not an object":  {badData, "data: "},
	} {
		t.Run(name, func(t *testing.T) {
			f := startServer(t, defaults()).load(1, c.unit)
			if f.kind != kindRejected || !strings.Contains(string(f.payload), c.want) {
				t.Errorf("kind %#x: %s", f.kind, f.payload)
			}
		})
	}
	f := startServer(t, defaults()).ask(kindLoad, 0, append(digestOf(1), `{"unitz": []}`...))
	if f.kind != kindRejected {
		t.Errorf("an unknown field was taken: kind %#x", f.kind)
	}
}

func answering(module string) unitSource {
	unit := unitOf("u", "x := 1", module)
	unit.Answers = []string{"data.a.deny", "data.a.warn"}
	return unit
}

func placed(module string) unitSource {
	unit := unitOf("u", "x := 1", module)
	unit.Packages = map[string]string{}
	for path := range unit.Modules {
		unit.Packages[path] = "data.a"
	}
	return unit
}

func TestAPackageBelowTheOneThatIsAskedForIsTaken(t *testing.T) {
	f := startServer(t, defaults()).load(1, placed("package a.b\n"))
	if f.kind != kindLoaded {
		t.Errorf("kind %#x: %s", f.kind, f.payload)
	}
}

func TestASetOfAnswersIsTaken(t *testing.T) {
	f := startServer(t, defaults()).load(1, answering("package a\n\ndeny contains 1 if input.x\n"))
	if f.kind != kindLoaded {
		t.Errorf("kind %#x: %s", f.kind, f.payload)
	}
}

func TestQuestionsThatHaveNoAnswer(t *testing.T) {
	c := startServer(t, defaults())
	if got := faultOf(t, c.ask(kindEvaluate, 0, evaluationOf(time.Second, 0, "{}"))); got != "not_loaded" {
		t.Error(got)
	}
	c.load(1, unitOf("u", "x := 1", "package a\n"))
	if got := faultOf(t, c.ask(kindEvaluate, 0, evaluationOf(time.Second, 0, "{"))); got != "bad_input" {
		t.Error(got)
	}
}

func TestTheDeadlineEndsAnEvaluation(t *testing.T) {
	c := startServer(t, defaults())
	c.load(1, unitOf("u", "x := data.a.x", forever))
	started := time.Now()
	if got := faultOf(t, c.ask(kindEvaluate, 0, evaluationOf(50*time.Millisecond, 0, "{}"))); got != "deadline" {
		t.Error(got)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAnEvaluationThatWaitsExpiresWhileTheWorkersAreBusy(t *testing.T) {
	s := defaults()
	s.queue = 8
	c := startServer(t, s)
	c.load(1, unitOf("u", "x := data.a.x", forever))
	c.send(kindEvaluate, 0, evaluationOf(busy, 0, "{}")) // keeps the one worker
	if got := faultOf(t, c.ask(kindEvaluate, 0, evaluationOf(time.Millisecond, 0, "{}"))); got != "deadline" {
		t.Error(got)
	}
}

func TestTooManyThatWaitAreRefusedAndPingsAnswered(t *testing.T) {
	c := startServer(t, defaults())
	c.load(1, unitOf("u", "x := data.a.x", forever))
	for range 3 { // one may run, one may wait
		c.send(kindEvaluate, 0, evaluationOf(busy, 0, "{}"))
	}
	c.send(kindPing, 0, []byte("x"))
	refused := 0
	f := c.receive()
	for ; f.kind != kindPong; f = c.receive() {
		if got := faultOf(t, f); got != "overloaded" {
			t.Fatal(got)
		}
		refused++
	}
	if refused == 0 || string(f.payload) != "x" {
		t.Errorf("%d were refused; the ping brought %q", refused, f.payload)
	}
}

func TestDocumentsThatAreTooLargeTogetherAreRefused(t *testing.T) {
	s := defaults()
	s.queuedBytes = 32
	c := startServer(t, s)
	c.load(1, unitOf("u", "x := 1", "package a\n"))
	if got := faultOf(t, c.ask(kindEvaluate, 0, evaluationOf(time.Second, 0, strings.Repeat(" ", 32)))); got != "overloaded" {
		t.Error(got)
	}
	for range 3 { // what was answered or refused weighs nothing
		c.evaluate("{}")
	}
}

func TestASwapIsSeenByWholeEvaluations(t *testing.T) {
	c := startServer(t, defaults())
	for mark := byte(1); mark < 20; mark++ {
		c.load(mark, unitOf("u", "x := "+string('0'+rune(mark%10)), "package a\n"))
		digest, units := c.evaluate("{}")
		if want := `[{"unit":"u","value":[{"x":` + string('0'+rune(mark%10)) + `}]}]`; !bytes.Equal(digest, digestOf(mark)) || units != want {
			t.Fatalf("%x answers %s", digest, units)
		}
	}
}

func TestABrokenProtocolEndsTheServer(t *testing.T) {
	for name, raw := range map[string][]byte{
		"an unknown kind":            finishFrame(startFrame(0), 0x42, 0, 1),
		"a load without a digest":    finishFrame(startFrame(0), kindLoad, 0, 1),
		"an evaluation without time": finishFrame(startFrame(0), kindEvaluate, 0, 1),
		"a negative time allowed":    finishFrame(append(startFrame(0), evaluationOf(-1, 0, "{}")...), kindEvaluate, 0, 1),
	} {
		if err := newServer(defaults()).run(&oneWay{bytes.NewReader(raw)}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

type oneWay struct{ io.Reader }

func (*oneWay) Write(b []byte) (int, error) { return len(b), nil }
