// wire_curve.go: CurveZMQ 1.0 (RFC 26). It says who the two ends of a connection are, and keeps what they say secret
// and whole. Its commands are built and read here as bytes, for either end, and the nonce of every box that comes in is
// checked here (curveOpener). Sockets, frames and clocks are the caller's.
//
// The RFC's names are used: C and S are the lasting keys of client and server, c and s their secret halves, C' and S'
// the keys of one connection. These are forgotten with the connection, so that a lasting key that is stolen later opens
// nothing that was recorded before. Box[X](A->B) is X sealed with a and B, opened with b and A: it is secret, and it
// can come from nobody else.

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/cloudflare/circl/dh/x25519"
	"golang.org/x/crypto/nacl/secretbox"
	//lint:ignore SA1019 the protocol is made of it, and box.Precompute multiplies twice and takes weak keys
	"golang.org/x/crypto/salsa20/salsa"
)

const (
	curveKeyLen     = 32
	curveKeyTextLen = 40 // of a key in Z85
	curveBoxExtra   = secretbox.Overhead

	curveMessageHead = "\x07MESSAGE"
	// What sealing adds to a frame: name, nonce, the box's own 16 bytes and the flags.
	curveMessageExtra = len(curveMessageHead) + 8 + curveBoxExtra + 1

	curveFlagMore    = 1 // another frame of this message follows
	curveFlagCommand = 2 // a ZMTP command, not part of a message; libzmq's, not in the RFC

	// Bytes of the bodies of the commands, without their names.
	curveHelloLen    = 194
	curveCookieLen   = 96
	curveWelcomeLen  = 16 + 144
	curveVouchLen    = 96
	curveInitiateLen = curveCookieLen + 8 + curveBoxExtra + curveKeyLen + curveVouchLen // at least
	curveReadyLen    = 8 + curveBoxExtra                                                // at least
)

var (
	errCurveHello    = errors.New("HELLO does not open: the client has another key for this server")
	errCurveInitiate = errors.New("INITIATE is not valid")
	errCurveWelcome  = errors.New("WELCOME does not open: the server has not the key that we expect")
	errCurveReady    = errors.New("READY does not open")
	errCurveMessage  = errors.New("message does not open: it was altered on its way")
	errCurveReplay   = errors.New("nonce did not rise: a command was sent twice")
	errCurveKey      = errors.New("key is of no use: its secrets could be guessed")
	errCurveSpent    = errors.New("all nonces of this connection are used up")
)

// curveKey is a public key. Its text form is what users copy about.
type curveKey [curveKeyLen]byte

// String gives the key in Z85, 40 characters.
func (k curveKey) String() string { return curveZ85Encode(k[:]) }

// curveKeyParse reads a key in Z85.
func curveKeyParse(text string) (curveKey, error) {
	raw, err := curveKeyBytes(text)
	if err == nil && curveKey(raw) == (curveKey{}) {
		err = errors.New("key is all zeros: it belongs to nobody")
	}
	return curveKey(raw), err
}

// curveSecret is the secret half of a pair. Printing it shows nothing; Text does.
type curveSecret [curveKeyLen]byte

// String keeps the secret out of logs and errors.
func (curveSecret) String() string { return "(secret key)" }

// GoString is String, for %#v.
func (s curveSecret) GoString() string { return s.String() }

// Text gives the secret key in Z85. It is for the file that keeps it, and nothing else.
func (s curveSecret) Text() string { return curveZ85Encode(s[:]) }

// curvePair is a key pair, made by one of the three functions below.
type curvePair struct {
	Public curveKey
	Secret curveSecret
}

// curvePairNew makes a pair of 32 random bytes; nil is the system's random.
func curvePairNew(random io.Reader) (curvePair, error) {
	var s curveSecret
	if err := curveRandom(random, s[:]); err != nil {
		return curvePair{}, fmt.Errorf("make key pair: %w", err)
	}
	return curvePairOf(s), nil
}

// curvePairOf gives the pair that a secret key belongs to.
func curvePairOf(s curveSecret) curvePair {
	pair := curvePair{Secret: s} // and the public key is the secret times the base point, whose coordinate is 9
	secret := x25519.Key(s)
	x25519.Shared((*x25519.Key)(&pair.Public), &secret, &x25519.Key{9})
	return pair
}

// curvePairParse reads a pair from its secret key in Z85. The error never holds
// the text.
func curvePairParse(secret string) (curvePair, error) {
	raw, err := curveKeyBytes(secret)
	if err != nil {
		return curvePair{}, err
	}
	return curvePairOf(raw), nil
}

// curveKeyBytes gives the bytes of a key in Z85.
func curveKeyBytes(text string) (raw [curveKeyLen]byte, err error) {
	if len(text) != curveKeyTextLen {
		return raw, fmt.Errorf("key has %d characters and must have %d", len(text), curveKeyTextLen)
	}
	b, err := curveZ85Decode(text)
	if err != nil {
		return raw, fmt.Errorf("read key: %w", err)
	}
	return [curveKeyLen]byte(b), nil
}

// curveRandom fills b from random; nil is the system's random.
func curveRandom(random io.Reader, b []byte) error {
	if random == nil {
		random = rand.Reader
	}
	_, err := io.ReadFull(random, b)
	return err
}

// curveZ85Digits are the digits of Z85 (RFC 32), by value.
const curveZ85Digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"

// curveZ85Encode turns each 4 bytes into 5 characters. Bytes after the last whole
// four are left out: keys have none.
func curveZ85Encode(b []byte) string {
	var text strings.Builder
	for ; len(b) >= 4; b = b[4:] {
		n := binary.BigEndian.Uint32(b)
		for div := uint32(85 * 85 * 85 * 85); div > 0; div /= 85 {
			text.WriteByte(curveZ85Digits[n/div%85])
		}
	}
	return text.String()
}

// curveZ85Decode is the inverse of curveZ85Encode and takes nothing else: each
// value has one text. Errors name a place, not what stands there: it may be a
// secret.
func curveZ85Decode(text string) ([]byte, error) {
	if len(text)%5 != 0 {
		return nil, fmt.Errorf("%d characters are not a multiple of 5", len(text))
	}
	b := make([]byte, 0, len(text)/5*4)
	for i := 0; i < len(text); i += 5 {
		n := uint64(0)
		for j := i; j < i+5; j++ {
			digit := strings.IndexByte(curveZ85Digits, text[j])
			if digit < 0 {
				return nil, fmt.Errorf("character %d is not one of Z85", j+1)
			}
			n = n*85 + uint64(digit)
		}
		if n > math.MaxUint32 {
			return nil, fmt.Errorf("characters %d to %d are too large a number", i+1, i+5)
		}
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return b, nil
}

// shared gives the key of every box between the holder of p and the holder of public (crypto_box_beforenm of NaCl). A
// public key that gives the same to everybody is an error.
func (p curvePair) shared(public curveKey) (shared [curveKeyLen]byte, err error) {
	secret, theirs := x25519.Key(p.Secret), x25519.Key(public)
	var point x25519.Key
	if p.Secret == (curveSecret{}) || !x25519.Shared(&point, &secret, &theirs) {
		return shared, errCurveKey
	}
	salsa.HSalsa20(&shared, &[16]byte{}, (*[32]byte)(&point), &salsa.Sigma)
	return shared, nil
}

// curveNonce gives the 24 bytes of a nonce: a prefix, and the 8 or 16 bytes that are sent.
func curveNonce(prefix string, sent []byte) *[24]byte {
	var n [24]byte
	copy(n[copy(n[:], prefix):], sent)
	return &n
}

// curveShortNonce gives the 8 bytes of a nonce that counts.
func curveShortNonce(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// curveLongNonce appends 16 random bytes to b and returns them too, with prefix.
func curveLongNonce(b []byte, prefix string, random io.Reader) ([]byte, *[24]byte, error) {
	var n [16]byte
	if err := curveRandom(random, n[:]); err != nil {
		return nil, nil, fmt.Errorf("make nonce: %w", err)
	}
	return append(b, n[:]...), curveNonce(prefix, n[:]), nil
}

// curveCheckNonce checks the short nonce that a peer sent: it must be above the last one. Then it is the last one.
func curveCheckNonce(last *uint64, sent []byte) error {
	n := binary.BigEndian.Uint64(sent)
	if n <= *last {
		return errCurveReplay
	}
	*last = n
	return nil
}

// curveServer is what a server needs for any number of connections. Any goroutine may use it.
type curveServer struct {
	Pair curvePair
	// Authorize decides on a client's lasting key, and says what we call it. It is
	// asked twice for each connection, from many goroutines, and must not wait.
	Authorize func(client curveKey) (name string, ok bool)
	// Agent says whether a key is an agent's; nil: none is. The same holds for it.
	Agent  func(client curveKey) bool
	Random io.Reader // of the system if nil; else safe for many goroutines
}

// curveAccept is the server's side of one handshake: hello, initiate and ready,
// in this order, each once, and no more after an error.
//
// Between HELLO and INITIATE it keeps nothing of the client but a nonce. C' and s' travel in the cookie, under a key
// that only this connection ever uses, so that no cookie is good anywhere else.
type curveAccept struct {
	server    *curveServer
	cookieKey [curveKeyLen]byte
	nonce     uint64            // the last of the client's
	shared    [curveKeyLen]byte // of C' and S'; known after initiate
}

// hello takes the body of HELLO and returns that of WELCOME.
func (a *curveAccept) hello(body []byte) (welcome []byte, err error) {
	if len(body) != curveHelloLen {
		return nil, fmt.Errorf("HELLO of %d bytes", len(body))
	}
	if body[0] != 1 || body[1] != 0 {
		return nil, fmt.Errorf("version %d.%d of CurveZMQ, which is not 1.0", body[0], body[1])
	}
	padding, transient, short, box := body[2:74], body[74:106], body[106:114], body[114:]
	var zeros [72]byte
	if !bytes.Equal(padding, zeros[:]) {
		return nil, errors.New("HELLO has no padding")
	}
	client := curveKey(transient)                 // C'
	helloKey, err := a.server.Pair.shared(client) // S and C'
	if err != nil {
		return nil, err
	}
	signature, ok := secretbox.Open(nil, box, curveNonce("CurveZMQHELLO---", short), &helloKey)
	if !ok || subtle.ConstantTimeCompare(signature, zeros[:64]) != 1 {
		return nil, errCurveHello
	}
	a.nonce = binary.BigEndian.Uint64(short)

	ours, err := curvePairNew(a.server.Random) // S'
	if err != nil {
		return nil, err
	}
	if err := curveRandom(a.server.Random, a.cookieKey[:]); err != nil {
		return nil, fmt.Errorf("make cookie key: %w", err)
	}
	cookie, cookieNonce, err := curveLongNonce(nil, "COOKIE--", a.server.Random)
	if err != nil {
		return nil, err
	}
	cookie = secretbox.Seal(cookie, append(client[:], ours.Secret[:]...), cookieNonce, &a.cookieKey)
	welcome, nonce, err := curveLongNonce(nil, "WELCOME-", a.server.Random)
	if err != nil {
		return nil, err
	}
	plain := append(ours.Public[:], cookie...)
	return secretbox.Seal(welcome, plain, nonce, &helloKey), nil
}

// initiate takes the body of INITIATE. It returns the client's lasting key, which the client has proved, and its
// metadata, unread. The caller must ask whether that key may come in.
func (a *curveAccept) initiate(body []byte) (client curveKey, meta []byte, err error) {
	if len(body) < curveInitiateLen {
		return client, nil, fmt.Errorf("INITIATE of %d bytes", len(body))
	}
	cookie, nonce, box := body[:curveCookieLen], body[curveCookieLen:curveCookieLen+8], body[curveCookieLen+8:]
	baked, ok := secretbox.Open(nil, cookie[16:], curveNonce("COOKIE--", cookie[:16]), &a.cookieKey)
	a.cookieKey = [curveKeyLen]byte{} // a cookie is good once
	if !ok {
		return client, nil, errCurveInitiate
	}
	if err := curveCheckNonce(&a.nonce, nonce); err != nil {
		return client, nil, err
	}
	transient := curveKey(baked[:32])            // C'
	ours := curvePairOf(curveSecret(baked[32:])) // S'
	a.shared, err = ours.shared(transient)
	if err != nil {
		return client, nil, err
	}
	plain, ok := secretbox.Open(nil, box, curveNonce("CurveZMQINITIATE", nonce), &a.shared)
	if !ok {
		return client, nil, errCurveInitiate
	}
	client = curveKey(plain[:32])
	vouched, err := ours.shared(client) // C and S'
	if err != nil {
		return client, nil, err
	}
	// Only the holder of c can have made the vouch, Box[C',S](C->S'), and only for this connection to this server.
	vouch, ok := secretbox.Open(nil, plain[48:128], curveNonce("VOUCH---", plain[32:48]), &vouched)
	want := append(transient[:], a.server.Pair.Public[:]...)
	if !ok || subtle.ConstantTimeCompare(vouch, want) != 1 {
		return client, nil, errCurveInitiate
	}
	return client, plain[128:], nil
}

// ready returns the body of READY and the two halves of the traffic that follows.
func (a *curveAccept) ready(meta []byte) ([]byte, *curveSealer, *curveOpener) {
	nonce := curveShortNonce(1)
	body := secretbox.Seal(nonce, meta, curveNonce("CurveZMQREADY---", nonce), &a.shared)
	return body,
		&curveSealer{key: a.shared, prefix: "CurveZMQMESSAGES", nonce: 1},
		&curveOpener{key: a.shared, prefix: "CurveZMQMESSAGEC", nonce: a.nonce}
}

// curveClient is what a client needs for any number of connections to one server.
type curveClient struct {
	Pair   curvePair
	Server curveKey  // the server's: no other can answer
	Random io.Reader // of the system if nil; else safe for many goroutines
}

// curveJoin is the client's side of one handshake: hello, welcome and ready, in
// this order, each once, and no more after an error.
type curveJoin struct {
	client   *curveClient
	pair     curvePair         // C'
	helloKey [curveKeyLen]byte // of C' and S
	shared   [curveKeyLen]byte // of C' and S'; known after welcome
}

// hello returns the body of HELLO.
func (j *curveJoin) hello() (body []byte, err error) {
	j.pair, err = curvePairNew(j.client.Random)
	if err != nil {
		return nil, err
	}
	j.helloKey, err = j.pair.shared(j.client.Server)
	if err != nil {
		return nil, err
	}
	nonce := curveShortNonce(1)
	body = append([]byte{1, 0}, make([]byte, 72)...)
	body = append(append(body, j.pair.Public[:]...), nonce...)
	return secretbox.Seal(body, make([]byte, 64), curveNonce("CurveZMQHELLO---", nonce), &j.helloKey), nil
}

// welcome takes the body of WELCOME and returns that of INITIATE, which tells the
// server our lasting key and our metadata.
func (j *curveJoin) welcome(body, meta []byte) (initiate []byte, err error) {
	if len(body) != curveWelcomeLen {
		return nil, fmt.Errorf("WELCOME of %d bytes", len(body))
	}
	plain, ok := secretbox.Open(nil, body[16:], curveNonce("WELCOME-", body[:16]), &j.helloKey)
	if !ok {
		return nil, errCurveWelcome
	}
	theirs, cookie := curveKey(plain[:32]), plain[32:] // S'
	j.shared, err = j.pair.shared(theirs)
	if err != nil {
		return nil, err
	}
	vouched, err := j.client.Pair.shared(theirs) // C and S'
	if err != nil {
		return nil, err
	}
	proof, nonce, err := curveLongNonce(j.client.Pair.Public[:], "VOUCH---", j.client.Random)
	if err != nil {
		return nil, err
	}
	proof = secretbox.Seal(proof, append(j.pair.Public[:], j.client.Server[:]...), nonce, &vouched)
	j.pair = curvePair{} // it has done its work
	short := curveShortNonce(2)
	return secretbox.Seal(append(cookie, short...), append(proof, meta...), curveNonce("CurveZMQINITIATE", short),
		&j.shared), nil
}

// ready takes the body of READY. It returns the server's metadata, unread, and
// the two halves of the traffic that follows.
func (j *curveJoin) ready(body []byte) (meta []byte, seal *curveSealer, open *curveOpener, err error) {
	if len(body) < curveReadyLen {
		return nil, nil, nil, fmt.Errorf("READY of %d bytes", len(body))
	}
	open = &curveOpener{key: j.shared, prefix: "CurveZMQMESSAGES"}
	if err := curveCheckNonce(&open.nonce, body[:8]); err != nil {
		return nil, nil, nil, err
	}
	meta, ok := secretbox.Open(nil, body[8:], curveNonce("CurveZMQREADY---", body[:8]), &j.shared)
	if !ok {
		return nil, nil, nil, errCurveReady
	}
	return meta, &curveSealer{key: j.shared, prefix: "CurveZMQMESSAGEC", nonce: 2}, open, nil
}

// curveSealer seals what one end of a connection sends. One goroutine uses it.
type curveSealer struct {
	key    [curveKeyLen]byte
	prefix string // of 16 bytes, another for each direction
	nonce  uint64 // the last that was used
	plain  []byte // for the next frame
}

// curvePlainKeep is the largest buffer that a sealer keeps between two frames.
const curvePlainKeep = 4 << 10

// seal appends to out the frame that carries data and its flags. It adds
// curveMessageExtra bytes.
func (s *curveSealer) seal(out []byte, flags byte, data []byte) ([]byte, error) {
	if s.nonce == math.MaxUint64 {
		return nil, errCurveSpent
	}
	s.nonce++
	s.plain = append(append(s.plain[:0], flags), data...)
	out = append(out, curveMessageHead...)
	out = binary.BigEndian.AppendUint64(out, s.nonce)
	out = secretbox.Seal(out, s.plain, curveNonce(s.prefix, out[len(out)-8:]), &s.key)
	if cap(s.plain) > curvePlainKeep {
		s.plain = nil
	}
	return out, nil
}

// curveOpener opens what one end of a connection receives. One goroutine uses it.
type curveOpener struct {
	key    [curveKeyLen]byte
	prefix string
	nonce  uint64 // the last that came
}

// open returns the flags and the data of one sealed frame. The connection must
// end at its first error: the stream is not what the other end sent.
func (o *curveOpener) open(frame []byte) (flags byte, data []byte, err error) {
	if len(frame) < curveMessageExtra {
		return 0, nil, fmt.Errorf("sealed message of %d bytes", len(frame))
	}
	head, nonce, box := frame[:8], frame[8:16], frame[16:]
	if string(head) != curveMessageHead {
		return 0, nil, errors.New("message is not sealed")
	}
	last := o.nonce
	if err := curveCheckNonce(&last, nonce); err != nil {
		return 0, nil, err
	}
	plain, ok := secretbox.Open(nil, box, curveNonce(o.prefix, nonce), &o.key)
	if !ok {
		return 0, nil, errCurveMessage
	}
	o.nonce = last
	flags = plain[0]
	if flags != 0 && flags != curveFlagMore && flags != curveFlagCommand {
		return 0, nil, fmt.Errorf("sealed message has unknown flags %#02x", flags)
	}
	return flags, plain[1:], nil
}
