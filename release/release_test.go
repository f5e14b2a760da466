package release

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

// key is the n-th of the tests' keys, the same in every run.
func key(t testing.TB, n byte) (PublicKey, SecretKey) {
	t.Helper()
	public, secret, err := GenerateKey(bytes.NewReader(bytes.Repeat([]byte{n}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return public, secret
}

func sign(t testing.TB, n byte, file, comment string) []byte {
	t.Helper()
	_, secret := key(t, n)
	sig, err := Sign(secret, strings.NewReader(file), comment, "test signature")
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func trust(t testing.TB, threshold int, ns ...byte) Keys {
	t.Helper()
	var all []PublicKey
	for _, n := range ns {
		public, _ := key(t, n)
		all = append(all, public)
	}
	keys, err := NewKeys(threshold, all...)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// withID is a public or signature file whose key id is edited.
func edit(t testing.TB, file []byte, line int, at int, to ...byte) []byte {
	t.Helper()
	lines := strings.Split(string(file), "\n")
	raw := decode(t, lines[line])
	copy(raw[at:], to)
	lines[line] = encode(raw)
	return []byte(strings.Join(lines, "\n"))
}

const (
	content  = "the contents of a tar"
	comment1 = "type=psyopsOS filename=psyopsOS.x86_64.20240705-173840.tar version=20240705-173840 " +
		"kernel=6.6.36-0-lts alpine=3.20 architecture=x86_64"
)

func TestEveryRefusalHasItsOwnWords(t *testing.T) {
	one, two := sign(t, 1, content, comment1), sign(t, 2, content, comment1)
	id1, _ := key(t, 1)
	id9, _ := key(t, 9)
	twin := edit(t, id1.Text(), 1, 2, 7, 7, 7, 7, 7, 7, 7, 7)
	twinKey, err := ParsePublicKey(twin)
	if err != nil {
		t.Fatal(err)
	}
	twins, err := NewKeys(1, id1, twinKey)
	if err != nil {
		t.Fatal(err)
	}
	two2 := twins.With(second(key(t, 2)))
	two2.threshold = 2
	for _, test := range []struct {
		name  string
		keys  Keys
		sigs  [][]byte
		file  string
		words string // empty: accepted
		want  any    // error value or pointer to the error type
	}{
		{"one good signature is enough for one", trust(t, 1, 1), [][]byte{one}, content, "", nil},
		{"one of two good signatures is enough for one", trust(t, 1, 2), [][]byte{one, two}, content, "", nil},
		{"two different keys are enough for two", trust(t, 2, 1, 2, 3), [][]byte{one, two}, content, "", nil},
		{"no signature is refused", trust(t, 1, 1), nil, content, "unsigned: there is no signature", ErrUnsigned},
		{"an empty signature is no signature", trust(t, 1, 1), [][]byte{{}}, content, "unsigned: there is no signature", ErrUnsigned},
		{"a key that is not trusted is refused", trust(t, 1, 9), [][]byte{one}, content,
			"signed by key " + id1.ID() + ", which is not trusted (trusted: " + id9.ID() + ")", new(*NotTrustedError)},
		{"other contents are refused", trust(t, 1, 1), [][]byte{one}, content + "!",
			"contents are not what key " + id1.ID() + " signed", new(*BadSignatureError)},
		{"an altered comment is refused", trust(t, 1, 1), [][]byte{bytes.Replace(one, []byte("3.20"), []byte("3.21"), 1)}, content,
			"the trusted comment is not what key " + id1.ID() + " signed: altered", new(*CommentAlteredError)},
		{"an altered comment signature is refused", trust(t, 1, 1), [][]byte{edit(t, one, 3, 5, 1, 2, 3)}, content,
			"the trusted comment is not what key " + id1.ID() + " signed: altered", new(*CommentAlteredError)},
		{"one signature is not two", trust(t, 2, 1, 2), [][]byte{one}, content,
			"too few signatures by different trusted keys: 1 of 2", new(*TooFewError)},
		{"one signature given twice is not two", trust(t, 2, 1, 2), [][]byte{one, one}, content,
			"too few signatures by different trusted keys: 1 of 2", new(*TooFewError)},
		{"one key under two ids is one key", two2, [][]byte{one, edit(t, one, 1, 2, 7, 7, 7, 7, 7, 7, 7, 7)}, content,
			"too few signatures by different trusted keys: 1 of 2", new(*TooFewError)},
		{"a good and a foreign signature are one of two", trust(t, 2, 1, 9), [][]byte{one, two}, content,
			"too few signatures by different trusted keys: 1 of 2; signed by key ", new(*NotTrustedError)},
		{"different comments are refused", trust(t, 2, 1, 2), [][]byte{one, sign(t, 2, content, strings.Replace(comment1, "3.20", "3.19", 1))}, content,
			"the signatures vouch for different comments", new(*CommentsDifferError)},
		{"a foreign id on a trusted key's signature is not trusted", trust(t, 1, 1), [][]byte{edit(t, one, 1, 2, 7)}, content,
			"signed by key ", new(*NotTrustedError)},
		{"a trusted id on a foreign key's signature is refused", trust(t, 1, 1), [][]byte{edit(t, two, 1, 2, id1.key.KeyId[:]...)}, content,
			"the trusted comment is not what key ", new(*CommentAlteredError)},
		{"text that is no signature file is refused", trust(t, 1, 1), [][]byte{[]byte("hello")}, content,
			"malformed signature file: 1 lines, want 4", new(*MalformedError)},
		{"a fifth line is refused", trust(t, 1, 1), [][]byte{append(bytes.Clone(one), '\n')}, content,
			"malformed signature file: 5 lines, want 4", new(*MalformedError)},
		{"a huge signature file is refused", trust(t, 1, 1), [][]byte{append(bytes.Clone(one), make([]byte, MaxSignature)...)}, content,
			"malformed signature file: ", new(*MalformedError)},
		{"another algorithm is refused", trust(t, 1, 1), [][]byte{edit(t, one, 1, 0, 'X')}, content,
			`malformed signature file: algorithm "XD"`, new(*MalformedError)},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, whole := test.keys.Whole([]byte(test.file), test.sigs...)
			check(t, "whole", whole, test.words, test.want)
			_, streamed := stream(test.keys, test.file, test.sigs...)
			check(t, "streamed", streamed, test.words, test.want)
		})
	}
}

func second(p PublicKey, _ SecretKey) PublicKey { return p }

func check(t *testing.T, how string, err error, words string, want any) {
	t.Helper()
	if words == "" {
		if err != nil {
			t.Errorf("%s: got %v, want it accepted", how, err)
		}
		return
	}
	if err == nil {
		t.Errorf("%s: accepted, want %q", how, words)
		return
	}
	if !strings.HasPrefix(err.Error(), words) {
		t.Errorf("%s: got %q, want %q", how, err, words)
	}
	if sentinel, ok := want.(error); ok && reflect.TypeOf(want).Kind() == reflect.Pointer && reflect.TypeOf(want).Elem().Kind() == reflect.Struct {
		if !errors.Is(err, sentinel) {
			t.Errorf("%s: %v is not %v", how, err, sentinel)
		}
	} else if !errors.As(err, want) {
		t.Errorf("%s: %v is no %T", how, err, want)
	}
}

func stream(keys Keys, file string, sigs ...[]byte) (Info, error) {
	v, err := keys.Verifier(sigs...)
	if err != nil {
		return Info{}, err
	}
	// Byte by byte: the verifier must not care how the file is cut.
	for i := range file {
		if _, err := v.Write([]byte(file[i : i+1])); err != nil {
			return Info{}, err
		}
	}
	return v.Verify()
}

func TestALegacySignatureCountsOnlyForAWholeFile(t *testing.T) {
	public, secret := key(t, 1)
	sig := legacySign(secret, content, comment1)
	keys := trust(t, 1, 1)
	got, err := keys.Whole([]byte(content), sig)
	if err != nil || got.Comment != comment1 || !got.By[0].SameKey(public) {
		t.Errorf("whole: got %v, %v", got, err)
	}
	if _, err := keys.Whole([]byte(content+"!"), sig); !errors.As(err, new(*BadSignatureError)) {
		t.Errorf("other contents: got %v", err)
	}
	if _, err := keys.Info(sig); !errors.Is(err, ErrLegacy) {
		t.Errorf("bare comment: got %v, want %v", err, ErrLegacy)
	}
	if _, err := keys.Verifier(sig); !errors.Is(err, ErrLegacy) {
		t.Errorf("stream: got %v, want %v", err, ErrLegacy)
	}
}

func TestTheSizeInTheCommentIsTheSizeOfTheFile(t *testing.T) {
	comment := comment1 + fmt.Sprintf(" size=%d", len(content))
	sig := sign(t, 1, content, comment)
	keys := trust(t, 1, 1)
	if info, err := stream(keys, content, sig); err != nil || info.Comment() != comment {
		t.Errorf("got %q, %v; want %q", info.Comment(), err, comment)
	}
	for file, want := range map[string]string{
		content[:3]:   "truncated: 3 bytes of the 21 that its signature names",
		content + "!": "more bytes than the 21 that its signature names",
	} {
		if _, err := stream(keys, file, sig); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", file, err, want)
		}
	}
}

func TestInfoComesBeforeTheFileAndOnlyWhenVouchedFor(t *testing.T) {
	sig := sign(t, 1, content, comment1)
	want := Info{Kind: OS, Filename: "psyopsOS.x86_64.20240705-173840.tar", Version: "20240705-173840",
		Kernel: "6.6.36-0-lts", Userland: "3.20", Architecture: "x86_64"}
	if got, err := trust(t, 1, 1).Info(sig); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, err := trust(t, 1, 2).Info(sig); err == nil {
		t.Errorf("by an untrusted key: got %+v", got)
	}
	if got, err := trust(t, 2, 1, 2).Info(sig); err == nil {
		t.Errorf("by one of two keys: got %+v", got)
	}
	if got, err := trust(t, 1, 1).Info(sign(t, 1, content, "hello")); !errors.As(err, new(*MalformedError)) {
		t.Errorf("a comment that is no release's: got %+v, %v", got, err)
	}
}

func TestKeysAreReadFromAnImage(t *testing.T) {
	text := func(n byte) *fstest.MapFile {
		public, _ := key(t, n)
		return &fstest.MapFile{Data: public.Text()}
	}
	const dir, single = "etc/psyopsOS/keys/", "etc/psyopsOS/minisign.pubkey"
	for _, test := range []struct {
		name             string
		root             fstest.MapFS
		count, threshold int
		err              string
	}{
		{"the single key", fstest.MapFS{single: text(1)}, 1, 1, ""},
		{"the folder", fstest.MapFS{dir + "a.pub": text(1), dir + "b.pub": text(2), dir + "readme": {Data: []byte("x")}}, 2, 1, ""},
		{"one key in both places is one key", fstest.MapFS{dir + "a.pub": text(1), single: text(1)}, 1, 1, ""},
		{"a threshold", fstest.MapFS{dir + "a.pub": text(1), single: text(2), dir + "threshold": {Data: []byte("2\n")}}, 2, 2, ""},
		{"a threshold that can never be met is refused", fstest.MapFS{dir + "a.pub": text(1), single: text(1), dir + "threshold": {Data: []byte("2\n")}}, 0, 0, "threshold 2 with 1 different keys"},
		{"a threshold that is no number is refused", fstest.MapFS{single: text(1), dir + "threshold": {Data: []byte("two")}}, 0, 0, "is not a number of keys"},
		{"an empty threshold is refused", fstest.MapFS{single: text(1), dir + "threshold": {}}, 0, 0, "is not a number of keys"},
		{"no key at all is refused", fstest.MapFS{}, 0, 0, ErrNoKeys.Error()},
		{"a key file that cannot be read as a key is refused", fstest.MapFS{single: text(1), dir + "a.pub": {Data: []byte("x")}}, 0, 0, "/etc/psyopsOS/keys/a.pub: malformed public key"},
		{"a huge key file is refused", fstest.MapFS{single: {Data: make([]byte, 5000)}}, 0, 0, "more than 1024 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			keys, err := ReadKeys(test.root)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil || keys.Count() != test.count || keys.Threshold() != test.threshold {
				t.Errorf("got %d keys, threshold %d, %v; want %d, %d", keys.Count(), keys.Threshold(), err, test.count, test.threshold)
			}
		})
	}
}

func TestSignaturesLieBesideTheirFile(t *testing.T) {
	sig := func(n byte) *fstest.MapFile { return &fstest.MapFile{Data: sign(t, n, content, comment1)} }
	dir := fstest.MapFS{"x.tar.minisig": sig(1), "x.tar.minisig.0123456789ABCDEF": sig(2), "x.tar.minisig.old": sig(3), "y.tar.minisig": sig(3),
		"empty.minisig": {}}
	all, err := ReadSignatures(dir, "x.tar.minisig")
	if err != nil || len(all) != 2 || all[0].Suffix != "" || all[1].Suffix != ".0123456789ABCDEF" {
		t.Errorf("got %v, %v", all, err)
	}
	if v, err := trust(t, 2, 1, 2, 3).Whole([]byte(content), Texts(all)...); err != nil || len(v.By) != 2 {
		t.Errorf("got %v, %v", v, err)
	}
	for _, name := range []string{"z.tar.minisig", "empty.minisig"} {
		if _, err := ReadSignatures(dir, name); !errors.Is(err, ErrUnsigned) {
			t.Errorf("%s: got %v, want ErrUnsigned", name, err)
		}
	}
}

func TestAKeySignsOnce(t *testing.T) {
	_, one := key(t, 1)
	_, err := SignAll([]SecretKey{one, one}, func(k SecretKey) ([]byte, error) {
		return Sign(k, strings.NewReader(content), comment1, "test")
	})
	if err == nil || !strings.Contains(err.Error(), "is there twice") {
		t.Errorf("got %v", err)
	}
}

func TestASecretKeyNeverPrints(t *testing.T) {
	_, secret := key(t, 1)
	text, err := secret.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		if got := fmt.Sprintf(form, secret); got != "[private]" {
			t.Errorf("%s: got %s", form, got)
		}
		if got := fmt.Sprintf(form, struct{ Key SecretKey }{secret}); !strings.Contains(got, "[private]") {
			t.Errorf("%s in a struct: got %s", form, got)
		}
	}
	again, err := ReadSecretKey(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if text2, err := again.Text(); err != nil || !bytes.Equal(text, text2) {
		t.Errorf("read and rendered again it is another key (%v)", err)
	}
}

func TestACommentThatIsNotOneLineIsNotSigned(t *testing.T) {
	_, secret := key(t, 1)
	for _, c := range []string{"a\nb", "a\x1b[31m", strings.Repeat("x", MaxSignature)} {
		if sig, err := Sign(secret, strings.NewReader(content), c, ""); err == nil {
			t.Errorf("%.20q: signed: %.80s", c, sig)
		}
	}
	broken := io.MultiReader(strings.NewReader("x"), brokenReader{})
	if sig, err := Sign(secret, broken, "c", ""); err == nil {
		t.Errorf("a file that cannot be read to its end: signed: %s", sig)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
