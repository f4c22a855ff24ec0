// Tests of CurveZMQ as bytes: keys and their text, the handshake with every byte
// of it altered, and sealed frames. Over sockets it is tested in wire_mechanism_test.go.

package main

import (
	"bytes"
	"crypto/ecdh"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/box"
	"golang.org/x/crypto/nacl/secretbox"
	//lint:ignore SA1019 CURVE is made of it
	"golang.org/x/crypto/salsa20/salsa"
)

// curveTestRandom is the same random bytes each time.
func curveTestRandom(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func curveTestPair(t testing.TB, seed byte) curvePair {
	t.Helper()
	p, err := curvePairNew(curveTestRandom(seed))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// curveVectors are the test keys of zmq_curve(7), and the vector of RFC 32.
func curveVectors() [][2]string {
	return [][2]string{
		{"864fd26fb559f75b", "HelloWorld"},
		{"bb88471d65e2659b30c55a5321cebb5aab2b70a398645c26dca2b2fcb43fc518",
			"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"},
		{"7bb864b489afa3671fbe69101f94b38972f24816dfb01b51656b3fec8dfd0888",
			"D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"},
		{"54fcba24e93249969316fb617c872bb0c1d1ff14800427c594cbfacf1bc2d652",
			"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"},
		{"8e0bdd697628b91d8f245587ee95c5b04d48963f79259877b49cd9063aead3b7",
			"JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"},
		{"", ""},
		{"00000000ffffffff", "00000%nSc0"},
	}
}

func TestCurveZ85(t *testing.T) {
	for _, v := range curveVectors() {
		raw, err := hex.DecodeString(v[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := curveZ85Encode(raw); got != v[1] {
			t.Errorf("%s encodes as %q, want %q", v[0], got, v[1])
		}
		if got, err := curveZ85Decode(v[1]); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%q decodes as %x, %v; want %s", v[1], got, err, v[0])
		}
	}
	for text, want := range map[string]string{
		"Hell":          "not a multiple of 5",
		"Hello World":   "not a multiple of 5",
		"Hell\"":        "character 5 is not one of Z85",
		"HelloWor\xe9d": "character 9 is not one",
		"%nSc1":         "characters 1 to 5 are too large",
		"00000#####":    "characters 6 to 10 are too large",
	} {
		if got, err := curveZ85Decode(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q decodes as %x, %v; want %q", text, got, err, want)
		}
	}
}

func TestCurveKeys(t *testing.T) {
	v := curveVectors()
	for i := 1; i < 5; i += 2 {
		pair, err := curvePairParse(v[i+1][1])
		if err != nil || pair.Public.String() != v[i][1] || pair.Secret.Text() != v[i+1][1] {
			t.Errorf("%q belongs to %v, %v; want %q", v[i+1][1], pair.Public, err, v[i][1])
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			shown := fmt.Sprintf(verb, pair)
			if strings.Contains(shown, v[i+1][1]) || strings.Contains(strings.ToLower(shown), v[i+1][0][:8]) ||
				strings.Contains(shown, "7b, 0xb8") {
				t.Errorf("%s shows the secret key: %s", verb, shown)
			}
		}
	}
	for text, want := range map[string]string{
		"":                      "0 characters and must have 40",
		strings.Repeat("0", 45): "45 characters",
		strings.Repeat("~", 40): "character 1 is not",
	} {
		_, err := curveKeyParse(text)
		_, pairErr := curvePairParse(text)
		if err == nil || pairErr == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("key %q: %v, %v; want %q", text, err, pairErr, want)
		}
	}
	if _, err := curveKeyParse(strings.Repeat("0", 40)); err == nil || !strings.Contains(err.Error(), "all zeros") {
		t.Errorf("a public key of zeros: %v", err)
	}
	if _, err := curvePairNew(strings.NewReader("short")); err == nil {
		t.Error("a pair out of 5 random bytes")
	}
	one, err := curvePairNew(nil)
	two, err2 := curvePairNew(nil)
	if err != nil || err2 != nil || one.Public == two.Public || one.Secret == two.Secret {
		t.Errorf("two new pairs: %v, %v", err, err2)
	}
}

// The key of two pairs is what NaCl has; a public key without secrets is refused.
func TestCurveShared(t *testing.T) {
	a, b := curveTestPair(t, 1), curveTestPair(t, 2)
	var want [32]byte
	box.Precompute(&want, (*[32]byte)(&b.Public), (*[32]byte)(&a.Secret))
	ab, err := a.shared(b.Public)
	ba, err2 := b.shared(a.Public)
	if err != nil || err2 != nil || ab != want || ba != want {
		t.Errorf("shared %x and %x, want %x (%v, %v)", ab, ba, want, err, err2)
	}
	for _, low := range []curveKey{{}, {1}} { // points of a small order
		if _, err := a.shared(low); !errors.Is(err, errCurveKey) {
			t.Errorf("shared with %x: %v", low, err)
		}
	}
}

// curveTestShake is a whole handshake in memory. Each command passes through wire,
// which may alter it.
type curveTestShake struct {
	server curveServer
	client curveClient
	wire   func(command string, body []byte) []byte
}

func curveTestNew(t testing.TB) curveTestShake {
	server := curveTestPair(t, 1)
	return curveTestShake{
		server: curveServer{Pair: server, Random: curveTestRandom(3)},
		client: curveClient{Pair: curveTestPair(t, 2), Server: server.Public, Random: curveTestRandom(4)},
		wire:   func(_ string, body []byte) []byte { return body },
	}
}

type curveTestEnds struct {
	toServer, toClient     *curveSealer
	fromServer, fromClient *curveOpener
}

func (s curveTestShake) run() (ends curveTestEnds, err error) {
	a, j := curveAccept{server: &s.server}, curveJoin{client: &s.client}
	body, err := j.hello()
	if err != nil {
		return ends, err
	}
	if body, err = a.hello(s.wire("HELLO", body)); err != nil {
		return ends, err
	}
	if body, err = j.welcome(s.wire("WELCOME", body), []byte("I am a client")); err != nil {
		return ends, err
	}
	key, meta, err := a.initiate(s.wire("INITIATE", body))
	if err != nil {
		return ends, err
	}
	if key != s.client.Pair.Public || string(meta) != "I am a client" {
		return ends, fmt.Errorf("server met %v, %q", key, meta)
	}
	body, ends.toClient, ends.fromClient = a.ready([]byte("I am a server"))
	if meta, ends.toServer, ends.fromServer, err = j.ready(s.wire("READY", body)); err != nil {
		return ends, err
	}
	if string(meta) != "I am a server" {
		return ends, fmt.Errorf("client met %q", meta)
	}
	return ends, nil
}

// TestCurveLikeGo: pairs and shared points are those that Go's own X25519 gives, also of keys that are not in their
// lowest terms and of points of low order.
func TestCurveLikeGo(t *testing.T) {
	t.Parallel()
	odd := []curveKey{{}, {1}, {9}}
	for _, last := range []byte{0x7f, 0xff, 0x80} { // around the modulus, and with the bit that does not count
		for first := byte(0xe9); first != 0; first++ {
			var k curveKey
			for i := range k {
				k[i] = 0xff
			}
			k[0], k[31] = first, last
			odd = append(odd, k)
		}
	}
	for _, low := range []string{"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"} {
		raw, err := hex.DecodeString(low)
		if err != nil {
			t.Fatal(err)
		}
		odd = append(odd, curveKey(raw))
	}
	random := curveTestRandom(7)
	for i := range 300 {
		var secret curveSecret
		var public curveKey
		_, err := io.ReadFull(random, secret[:])
		if _, err2 := io.ReadFull(random, public[:]); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if i < len(odd) {
			public = odd[i]
		}
		curveTestLikeGo(t, secret, public)
	}
}

// curveTestLikeGo compares the pair of a secret, and what it shares with a public key, with what Go computes.
func curveTestLikeGo(t *testing.T, secret curveSecret, public curveKey) {
	t.Helper()
	key, err := ecdh.X25519().NewPrivateKey(secret[:])
	if err != nil {
		t.Fatal(err)
	}
	pair := curvePairOf(secret)
	if want := curveKey(key.PublicKey().Bytes()); pair.Public != want {
		t.Errorf("the public key of %x is %v, Go says %v", [32]byte(secret), pair.Public, want)
	}
	theirs, err := ecdh.X25519().NewPublicKey(public[:])
	if err != nil {
		t.Fatal(err)
	}
	point, goErr := key.ECDH(theirs)
	got, err := pair.shared(public)
	if goErr != nil {
		if !errors.Is(err, errCurveKey) {
			t.Errorf("%x is no good to Go (%v): %v", [32]byte(public), goErr, err)
		}
		return
	}
	var want [32]byte
	salsa.HSalsa20(&want, &[16]byte{}, (*[32]byte)(point), &salsa.Sigma)
	if err != nil || got != want {
		t.Errorf("with %x: %x, %v; Go says %x", [32]byte(public), got, err, want)
	}
}

// With one bit of it altered, or an end cut off, or one byte more, no handshake
// comes to its end. 0x80 is the bit that X25519 itself does not look at.
func TestCurveHandshakeAltered(t *testing.T) {
	t.Parallel()
	lengths := map[string]int{}
	plain := curveTestNew(t)
	plain.wire = func(command string, body []byte) []byte {
		lengths[command] = len(body)
		return body
	}
	if _, err := plain.run(); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]int{"HELLO": 194, "WELCOME": 160, "INITIATE": 248 + 13, "READY": 24 + 13} {
		if lengths[command] != want {
			t.Errorf("%s has %d bytes, want %d", command, lengths[command], want)
		}
		for at := range want {
			for name, alter := range map[string]func([]byte) []byte{
				"altered": func(b []byte) []byte { b[at] ^= 0x80; return b },
				"cut":     func(b []byte) []byte { return b[:at] },
			} {
				s := curveTestNew(t)
				s.wire = func(c string, body []byte) []byte {
					if c == command {
						return alter(slices.Clone(body))
					}
					return body
				}
				if _, err := s.run(); err == nil {
					t.Errorf("%s %s at %d passed", command, name, at)
				}
			}
		}
		s := curveTestNew(t)
		s.wire = func(c string, body []byte) []byte {
			if c == command {
				return append(body, 0)
			}
			return body
		}
		if _, err := s.run(); err == nil {
			t.Errorf("%s with a byte more passed", command)
		}
	}
}

func TestCurveImpostors(t *testing.T) {
	cases := []struct {
		name  string
		alter func(s *curveTestShake)
		want  error
	}{
		{"other server key", func(s *curveTestShake) { s.client.Server = curveTestPair(t, 9).Public }, errCurveHello},
		{"other server", func(s *curveTestShake) { s.server.Pair = curveTestPair(t, 9) }, errCurveHello},
		{"weak server key", func(s *curveTestShake) { s.client.Server = curveKey{} }, errCurveKey},
		{"weak client key", func(s *curveTestShake) { s.client.Pair.Public = curveKey{} }, errCurveKey},
		{"public key of another", func(s *curveTestShake) { s.client.Pair.Public = curveTestPair(t, 9).Public },
			errCurveInitiate},
		// A server that passes a client's words on to another one: its vouch is for the first.
		{"vouch for another server", func(s *curveTestShake) {
			s.wire = func(c string, body []byte) []byte {
				if c == "WELCOME" {
					s.client.Server = curveTestPair(t, 9).Public
				}
				return body
			}
		}, errCurveInitiate},
	}
	for _, c := range cases {
		s := curveTestNew(t)
		c.alter(&s)
		a, j := curveAccept{server: &s.server}, curveJoin{client: &s.client}
		body, err := j.hello()
		if err == nil {
			body, err = a.hello(body)
		}
		if err == nil {
			body, err = j.welcome(s.wire("WELCOME", body), nil)
		}
		if err == nil {
			_, _, err = a.initiate(body)
		}
		if err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// A cookie is good once, and at the connection that baked it.
func TestCurveCookies(t *testing.T) {
	s := curveTestNew(t)
	one, two, j := curveAccept{server: &s.server}, curveAccept{server: &s.server}, curveJoin{client: &s.client}
	hello, err := j.hello()
	if err != nil {
		t.Fatal(err)
	}
	welcome, err := one.hello(hello)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.hello(hello); err != nil { // a replay of HELLO, which is worth nothing
		t.Fatal(err)
	}
	initiate, err := j.welcome(welcome, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := two.initiate(initiate); err != errCurveInitiate {
		t.Errorf("cookie of another connection: %v", err)
	}
	if _, _, err := one.initiate(initiate); err != nil {
		t.Errorf("its own cookie: %v", err)
	}
	if _, _, err := one.initiate(initiate); err != errCurveInitiate {
		t.Errorf("cookie used again: %v", err)
	}
}

// The signature of HELLO is a box of 64 zeros and of nothing else.
func TestCurveSignature(t *testing.T) {
	s := curveTestNew(t)
	for _, text := range []string{strings.Repeat("\x00", 64), strings.Repeat("\x00", 63) + "\x01"} {
		j := curveJoin{client: &s.client}
		hello, err := j.hello()
		if err != nil {
			t.Fatal(err)
		}
		nonce := curveNonce("CurveZMQHELLO---", hello[106:114])
		hello = secretbox.Seal(hello[:114], []byte(text), nonce, &j.helloKey)
		want := error(nil)
		if strings.Trim(text, "\x00") != "" {
			want = errCurveHello
		}
		a := curveAccept{server: &s.server}
		if _, err := a.hello(hello); err != want {
			t.Errorf("signature %q: %v, want %v", text[60:], err, want)
		}
	}
}

func TestCurveNonceRises(t *testing.T) {
	s := curveTestNew(t)
	a, j := curveAccept{server: &s.server}, curveJoin{client: &s.client}
	hello, _ := j.hello()
	welcome, _ := a.hello(hello)
	initiate, err := j.welcome(welcome, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.nonce = 2 // as if HELLO had used the nonce of INITIATE
	if _, _, err := a.initiate(initiate); err != errCurveReplay {
		t.Errorf("nonce used twice: %v", err)
	}
}

func TestCurveMessages(t *testing.T) {
	ends, err := curveTestNew(t).run()
	if err != nil {
		t.Fatal(err)
	}
	for name, way := range map[string]struct {
		seal *curveSealer
		open *curveOpener
		back *curveOpener
	}{
		"to the server": {ends.toServer, ends.fromClient, ends.fromServer},
		"to the client": {ends.toClient, ends.fromServer, ends.fromClient},
	} {
		first := way.open.nonce
		for i, data := range []string{"", "x", strings.Repeat("long ", 300000)} {
			flags := []byte{0, curveFlagMore, curveFlagCommand}[i]
			frame, err := way.seal.seal([]byte("before"), flags, []byte(data))
			if err != nil || len(frame) != len("before")+len(data)+curveMessageExtra {
				t.Fatalf("%s: sealed %d bytes into %d, %v", name, len(data), len(frame), err)
			}
			frame = frame[len("before"):]
			if _, _, err := way.back.open(frame); err != errCurveMessage && err != errCurveReplay {
				t.Errorf("%s: its own frame came back: %v", name, err)
			}
			got, text, err := way.open.open(frame)
			if err != nil || got != flags || string(text) != data {
				t.Fatalf("%s: flags %d, %d bytes, %v", name, got, len(text), err)
			}
			if _, _, err := way.open.open(frame); err != errCurveReplay {
				t.Errorf("%s: replayed: %v", name, err)
			}
		}
		if way.open.nonce != first+3 {
			t.Errorf("%s: nonce %d after three frames, %d before", name, way.open.nonce, first)
		}
		// Out of order is a replay as well.
		one, _ := way.seal.seal(nil, 0, []byte("one"))
		two, _ := way.seal.seal(nil, 0, []byte("two"))
		if _, _, err := way.open.open(two); err != nil {
			t.Error(err)
		}
		if _, _, err := way.open.open(one); err != errCurveReplay {
			t.Errorf("%s: out of order: %v", name, err)
		}
	}
}

func TestCurveMessageAltered(t *testing.T) {
	ends, err := curveTestNew(t).run()
	if err != nil {
		t.Fatal(err)
	}
	frame, _ := ends.toServer.seal(nil, 0, []byte("hello"))
	for at := range frame {
		for bit := range 8 {
			bad := slices.Clone(frame)
			bad[at] ^= 1 << bit
			if _, data, err := ends.fromClient.open(bad); err == nil {
				t.Errorf("bit %d of byte %d altered: opened as %q", bit, at, data)
			}
		}
		if _, _, err := ends.fromClient.open(frame[:at]); err == nil {
			t.Errorf("cut to %d bytes: opened", at)
		}
	}
	if _, data, err := ends.fromClient.open(frame); err != nil || string(data) != "hello" {
		t.Errorf("the frame itself: %q, %v", data, err)
	}
	for _, flags := range []byte{3, 4, 0x80, 0xff} {
		frame, _ := ends.toServer.seal(nil, flags, []byte("hello"))
		if _, _, err := ends.fromClient.open(frame); err == nil || !strings.Contains(err.Error(), "unknown flags") {
			t.Errorf("flags %#x: %v", flags, err)
		}
	}
	ends.toServer.nonce = math.MaxUint64
	if _, err := ends.toServer.seal(nil, 0, nil); err != errCurveSpent {
		t.Errorf("no nonces left: %v", err)
	}
}

// FuzzCurveOpen opens frames: what opens is what the other end would seal, byte
// for byte, and comes once.
func FuzzCurveOpen(f *testing.F) {
	s := curveSealer{key: [32]byte{1}, prefix: "CurveZMQMESSAGEC"}
	for _, data := range []string{"", "hello", "\x04PING\x00\x00ctx", strings.Repeat("x", 300)} {
		frame, _ := s.seal(nil, 0, []byte(data))
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		o := curveOpener{key: s.key, prefix: s.prefix}
		flags, data, err := o.open(frame)
		if err != nil {
			return
		}
		again := curveSealer{key: s.key, prefix: s.prefix, nonce: o.nonce - 1}
		if same, err := again.seal(nil, flags, data); err != nil || !bytes.Equal(same, frame) {
			t.Fatalf("%x opened, and seals as %x, %v", frame, same, err)
		}
		if _, _, err := o.open(frame); err != errCurveReplay {
			t.Fatalf("opened twice: %v", err)
		}
	})
}

// FuzzCurveZ85 decodes texts: what decodes has one text only.
func FuzzCurveZ85(f *testing.F) {
	for _, v := range curveVectors() {
		f.Add(v[1])
	}
	f.Fuzz(func(t *testing.T, text string) {
		if b, err := curveZ85Decode(text); err == nil && curveZ85Encode(b) != text {
			t.Fatalf("%q decodes as %x, which encodes as %q", text, b, curveZ85Encode(b))
		}
	})
}

func BenchmarkCurveHandshake(b *testing.B) {
	s := curveTestNew(b)
	for b.Loop() {
		if _, err := s.run(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCurveSealOpen(b *testing.B) {
	ends, err := curveTestNew(b).run()
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{100, 1 << 20} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			data, frame := make([]byte, size), []byte(nil)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				frame, _ = ends.toServer.seal(frame[:0], 0, data)
				if _, _, err := ends.fromClient.open(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
