package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// # The protocol of serve
//
// Both sides write frames to one stream socket. A frame is a header of 16 bytes,
// big-endian, and a payload:
//
//	u32 length of the payload, in bytes
//	u8  kind
//	u8  flags
//	u16 zero
//	u64 id, chosen by the asker; the answer carries it back
//
// Questions, and what answers them:
//
//	load 0x01      payload: digest [32]byte, then a policy set as JSON (see policySetSource)
//	               loaded 0x81: digest [32]byte
//	               rejected 0x84: {"problems": [{unit, file, row, column, code, message}]}
//	evaluate 0x02  payload: i64 now in ns since the epoch, i64 time allowed in ns, then the
//	               document as JSON (flagTerm: as a Rego term; flagUndefined: no document)
//	               answer 0x82: digest [32]byte, then [{unit, value} or {unit, error}], where
//	               value is the list of the query's bindings
//	ping 0x03      pong 0x83, with the same payload; answered even while all workers are busy
//
// Any question may be answered by a fault 0x8f: {code, message}. Evaluations are
// answered in whatever order they end. One evaluation uses one policy set
// throughout, and names it by the digest it was loaded with. A frame that breaks
// these rules ends the process: there is no way to find the next header.
const (
	headerSize   = 16
	digestSize   = 32
	evaluateSize = 16 // now and time allowed, before the document

	kindLoad     byte = 0x01
	kindEvaluate byte = 0x02
	kindPing     byte = 0x03
	kindLoaded   byte = 0x81
	kindAnswer   byte = 0x82
	kindPong     byte = 0x83
	kindRejected byte = 0x84
	kindFault    byte = 0x8f

	// flagTerm: the document is a Rego term, which can say more than JSON (sets).
	flagTerm byte = 0x01
	// flagUndefined: there is no document; `input` is undefined.
	flagUndefined byte = 0x02
	// flagExact: give numbers beyond the range of a double as they are, not as an error.
	flagExact byte = 0x04

	// flagWide, on an answer: it holds a number that a double cannot hold exactly.
	flagWide byte = 0x01
)

// faultCode says why a question has no answer.
type faultCode string

const (
	faultDeadline   faultCode = "deadline"   // the time allowed is over
	faultOverloaded faultCode = "overloaded" // too many evaluations wait
	faultNotLoaded  faultCode = "not_loaded" // no policy set is loaded
	faultBadInput   faultCode = "bad_input"  // the document cannot be read
	faultLoading    faultCode = "loading"    // another load is under way
	faultInternal   faultCode = "internal"   // the engine failed
)

type frame struct {
	kind, flags byte
	id          uint64
	payload     []byte
}

var errProtocol = errors.New("protocol violation")

// readFrame returns the next frame, io.EOF at a clean end, or errProtocol for a
// frame that the other side must not send.
func readFrame(r io.Reader, maxPayload uint32) (frame, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return frame{}, err
	}
	length := binary.BigEndian.Uint32(header[0:4])
	if length > maxPayload {
		return frame{}, fmt.Errorf("%w: a frame of %d bytes, at most %d are allowed", errProtocol, length, maxPayload)
	}
	if binary.BigEndian.Uint16(header[6:8]) != 0 {
		return frame{}, fmt.Errorf("%w: reserved bytes are not zero", errProtocol)
	}
	f := frame{kind: header[4], flags: header[5], id: binary.BigEndian.Uint64(header[8:16])}
	f.payload = make([]byte, length)
	if _, err := io.ReadFull(r, f.payload); err != nil {
		return frame{}, err
	}
	return f, nil
}

// startFrame returns a buffer with room for the header, to which the payload is
// appended; finishFrame then fills the header in.
func startFrame(capacity int) []byte {
	return make([]byte, headerSize, headerSize+capacity)
}

func finishFrame(buf []byte, kind, flags byte, id uint64) []byte {
	binary.BigEndian.PutUint32(buf[0:4], uint32(len(buf)-headerSize))
	buf[4], buf[5] = kind, flags
	binary.BigEndian.PutUint64(buf[8:16], id)
	return buf
}
