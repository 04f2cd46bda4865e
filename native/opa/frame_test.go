package main

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

const smallFrames = 64

func TestAFrameReadsAsItWasWritten(t *testing.T) {
	written := finishFrame(append(startFrame(5), "hello"...), kindPing, flagTerm, 1<<63+5)
	got, err := readFrame(bytes.NewReader(written), smallFrames)
	if err != nil {
		t.Fatal(err)
	}
	if got.kind != kindPing || got.flags != flagTerm || got.id != 1<<63+5 || string(got.payload) != "hello" {
		t.Fatalf("got %+v", got)
	}
}

func TestFramesThatCannotBeRead(t *testing.T) {
	whole := finishFrame(append(startFrame(5), "hello"...), kindPing, 0, 1)
	reserved := bytes.Clone(whole)
	reserved[7] = 1
	large := finishFrame(append(startFrame(smallFrames), make([]byte, smallFrames+1)...), kindPing, 0, 1)
	for name, c := range map[string]struct {
		bytes []byte
		want  error
	}{
		"a clean end":               {nil, io.EOF},
		"an end in the header":      {whole[:7], io.ErrUnexpectedEOF},
		"an end after the header":   {whole[:headerSize], io.EOF},
		"an end in the payload":     {whole[:headerSize+2], io.ErrUnexpectedEOF},
		"reserved bytes":            {reserved, errProtocol},
		"a frame that is too large": {large, errProtocol},
	} {
		if _, err := readFrame(bytes.NewReader(c.bytes), smallFrames); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(finishFrame(append(startFrame(5), "hello"...), kindPing, 0, 1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := readFrame(bytes.NewReader(raw), smallFrames)
		if err != nil {
			return
		}
		again := finishFrame(append(startFrame(0), got.payload...), got.kind, got.flags, got.id)
		if !bytes.HasPrefix(raw, again) {
			t.Fatalf("read %+v from %x", got, raw)
		}
	})
}
