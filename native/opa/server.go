package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/util"
)

// settings bound what one server takes on.
type settings struct {
	workers     int    // evaluations at a time
	queue       int    // evaluations that may wait
	queuedBytes int64  // payload that may wait or run
	maxPayload  uint32 // of one frame
}

// server answers the frames of one connection. The reading loop never waits for
// an evaluation, so that it sees the end of the connection, and pings, at once.
type server struct {
	settings settings
	set      atomic.Pointer[policySet]
	loading  atomic.Bool
	waiting  chan *job
	held     atomic.Int64 // bytes of payload that wait or run
	out      chan []byte
}

func newServer(s settings) *server {
	return &server{settings: s, waiting: make(chan *job, s.queue), out: make(chan []byte, 256)}
}

// run serves until the connection ends (nil) or breaks. It does not wait for
// evaluations: whoever asked for them is gone, and the process ends with it.
func (s *server) run(conn io.ReadWriter) error {
	ctx := context.Background()
	for range s.settings.workers {
		go s.work(ctx)
	}
	broken := make(chan error, 2)
	go func() { broken <- s.write(conn) }()
	go func() { broken <- s.read(conn) }()
	err := <-broken
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (s *server) read(conn io.Reader) error {
	buffered := bufio.NewReaderSize(conn, 256<<10)
	for {
		f, err := readFrame(buffered, s.settings.maxPayload)
		if err != nil {
			return err
		}
		switch f.kind {
		case kindEvaluate:
			err = s.accept(f)
		case kindPing:
			s.send(kindPong, 0, f.id, append(startFrame(len(f.payload)), f.payload...))
		case kindLoad:
			err = s.startLoad(f)
		default:
			err = fmt.Errorf("%w: unknown kind %#x", errProtocol, f.kind)
		}
		if err != nil {
			return err
		}
	}
}

// write sends what is waiting in as few system calls as it takes.
func (s *server) write(conn io.Writer) error {
	buffered := bufio.NewWriterSize(conn, 64<<10)
	for buf := range s.out {
		if _, err := buffered.Write(buf); err != nil {
			return err
		}
		if len(s.out) > 0 {
			continue
		}
		if err := buffered.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) send(kind, flags byte, id uint64, buf []byte) {
	s.out <- finishFrame(buf, kind, flags, id)
}

func (s *server) fault(id uint64, code faultCode, message string) {
	s.send(kindFault, 0, id, faultPayload(startFrame(128), code, message))
}

// startLoad compiles beside the evaluations, which go on with the old set.
func (s *server) startLoad(f frame) error {
	if len(f.payload) < digestSize {
		return fmt.Errorf("%w: a load without a digest", errProtocol)
	}
	if !s.loading.CompareAndSwap(false, true) {
		s.fault(f.id, faultLoading, "another policy set is being loaded")
		return nil
	}
	go s.load(f)
	return nil
}

func (s *server) load(f frame) {
	set, problems := compilePolicySet([digestSize]byte(f.payload[:digestSize]), f.payload[digestSize:])
	if len(problems) > 0 {
		s.loading.Store(false)
		body := util.MustMarshalJSON(map[string]any{"problems": problems})
		s.send(kindRejected, 0, f.id, append(startFrame(len(body)), body...))
		return
	}
	s.set.Store(set)
	tuneCollector()
	s.loading.Store(false)
	s.send(kindLoaded, 0, f.id, append(startFrame(digestSize), set.digest[:]...))
}

// Collecting garbage is the largest cost beside the evaluation itself. What
// evaluations allocate is short-lived, so the heap may grow to a floor, and to a
// multiple of what the policies hold, before a collection pays.
const (
	heapFloor      = 64 << 20
	growthPercent  = 400
	growthPerMerge = 100
)

func tuneCollector() {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	floor := heapFloor * growthPerMerge / int64(max(stats.HeapAlloc, 1<<20))
	debug.SetGCPercent(int(max(growthPercent, floor)))
}

// job is one evaluation, from its arrival to its answer.
type job struct {
	frame
	now     time.Time
	cancel  topdown.Cancel
	timer   *time.Timer
	started atomic.Bool // set by whoever answers: a worker, or the deadline of one that still waits
}

func (s *server) accept(f frame) error {
	if len(f.payload) < evaluateSize {
		return fmt.Errorf("%w: an evaluation without its time", errProtocol)
	}
	allowed := binary.BigEndian.Uint64(f.payload[8:16])
	if allowed > math.MaxInt64 {
		return fmt.Errorf("%w: a time allowed of %d ns", errProtocol, allowed)
	}
	size := int64(len(f.payload))
	if s.held.Add(size) > s.settings.queuedBytes {
		s.held.Add(-size)
		s.fault(f.id, faultOverloaded, "the documents that wait are too large together")
		return nil
	}
	now := time.Unix(0, int64(binary.BigEndian.Uint64(f.payload[0:8])))
	j := &job{frame: f, now: now, cancel: topdown.NewCancel()}
	j.timer = time.AfterFunc(time.Duration(allowed), func() { s.expire(j) })
	select {
	case s.waiting <- j:
	default:
		j.timer.Stop()
		if j.started.CompareAndSwap(false, true) {
			s.held.Add(-size)
			s.fault(f.id, faultOverloaded, "too many evaluations wait")
		}
	}
	return nil
}

// expire stops a job whose time is over. One that still waits is answered here,
// because the workers may be busy for longer; it leaves the queue later.
func (s *server) expire(j *job) {
	j.cancel.Cancel()
	if j.started.CompareAndSwap(false, true) {
		s.held.Add(-int64(len(j.payload)))
		s.faultDeadline(j)
	}
}

func (s *server) faultDeadline(j *job) {
	s.fault(j.id, faultDeadline, "the time allowed is over")
}

func (s *server) work(ctx context.Context) {
	for j := range s.waiting {
		if !j.started.CompareAndSwap(false, true) {
			continue
		}
		s.evaluate(ctx, j)
		j.timer.Stop()
		s.held.Add(-int64(len(j.payload)))
	}
}

func (s *server) evaluate(ctx context.Context, j *job) {
	set := s.set.Load()
	if set == nil {
		s.fault(j.id, faultNotLoaded, "no policy set is loaded")
		return
	}
	input, err := inputOf(j.flags, j.payload[evaluateSize:])
	if err != nil {
		s.fault(j.id, faultBadInput, err.Error())
		return
	}
	e := evaluation{
		input:  input,
		now:    j.now,
		cancel: j.cancel,
		exact:  j.flags&flagExact != 0,
	}
	buf := append(startFrame(1<<10), set.digest[:]...)
	buf, wide, err := set.answer(ctx, &e, buf)
	if err != nil {
		s.faultDeadline(j)
		return
	}
	if len(buf)-headerSize > int(s.settings.maxPayload) {
		s.fault(j.id, faultInternal, fmt.Sprintf("the answer has %d bytes", len(buf)))
		return
	}
	var flags byte
	if wide {
		flags = flagWide
	}
	s.send(kindAnswer, flags, j.id, buf)
}

// inputOf reads the document; nil means that there is none.
func inputOf(flags byte, document []byte) (*ast.Term, error) {
	if flags&flagUndefined != 0 {
		return nil, nil
	}
	if flags&flagTerm != 0 {
		return ast.ParseTerm(string(document))
	}
	value, err := readJSON(document)
	if err != nil {
		return nil, err
	}
	return ast.NewTerm(value), nil
}
