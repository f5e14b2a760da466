package deaddrop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSettingsComeFromFlagsThenEnvironmentThenFiles(t *testing.T) {
	home := t.TempDir()
	files := tree{"config": "[default]\nregion = eu-1\n[profile work]\nregion = eu-2\nendpoint_url = https://files.example\n",
		"credentials": "[default]\naws_access_key_id = A\naws_secret_access_key = hush\n[work]\naws_access_key_id = W\naws_secret_access_key = hush\n"}
	for name, content := range files {
		if err := os.MkdirAll(filepath.Join(home, ".aws"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, ".aws", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The credentials' own reader looks at the process's environment.
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, "")
	}
	for _, test := range []struct {
		name string
		in   Settings
		env  map[string]string
		want string // bucket, endpoint, region, access key; or the error
	}{
		{"a bucket alone", Settings{Bucket: "drop"}, nil, "drop https://s3.eu-1.amazonaws.com eu-1 A"},
		{"a profile", Settings{Bucket: "drop", Profile: "work"}, nil, "drop https://files.example eu-2 W"},
		{"a profile of the environment", Settings{}, map[string]string{"AWS_PROFILE": "work", BucketVariable: "s3://drop/sub"}, "s3://drop/sub https://files.example eu-2 W"},
		{"the environment over the files", Settings{Bucket: "drop"}, map[string]string{"AWS_ENDPOINT_URL": "http://one", "AWS_DEFAULT_REGION": "r1"}, "drop http://one r1 A"},
		{"the special over the general", Settings{Bucket: "drop"}, map[string]string{"AWS_ENDPOINT_URL": "http://one", "AWS_ENDPOINT_URL_S3": "http://two", "AWS_DEFAULT_REGION": "r1", "AWS_REGION": "r2"}, "drop http://two r2 A"},
		{"flags over all", Settings{Bucket: "drop", Endpoint: "http://three", Region: "r3"}, map[string]string{"AWS_ENDPOINT_URL_S3": "http://two", "AWS_REGION": "r2", BucketVariable: "other"}, "drop http://three r3 A"},
		{"other files", Settings{Bucket: "drop"}, map[string]string{"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}, "drop https://s3.us-east-1.amazonaws.com us-east-1 "},
		{"no bucket", Settings{}, nil, "no bucket is named"},
		{"no address", Settings{Bucket: "drop", Endpoint: "files.example"}, nil, "no address of a server"},
		{"an address with a path", Settings{Bucket: "drop", Endpoint: "https://files.example/s3"}, nil, "no address of a server"},
		{"a bad bucket", Settings{Bucket: "s3://Drop"}, nil, "is no bucket"},
		{"a prefix that leads out", Settings{Bucket: "s3://drop/../x"}, nil, "refused"},
		{"no requests at once", Settings{Bucket: "drop", Parallel: -1}, nil, "want 1 to 256"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := test.in.Complete(func(name string) string {
				if name == "HOME" {
					return home
				}
				return test.env[name]
			})
			if err != nil {
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
				return
			}
			value, err := s.credentials().GetWithContext(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(s.Bucket, " ", s.Endpoint, " ", s.Region, " ", value.AccessKeyID); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if strings.Contains(fmt.Sprintf("%+v", s), "hush") {
				t.Error("the settings hold a secret")
			}
		})
	}
}

func TestAFileThatCannotBeReadIsNamedWithoutItsSecrets(t *testing.T) {
	home := t.TempDir()
	name := filepath.Join(home, "config")
	if err := os.WriteFile(name, []byte("hush hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Settings{Bucket: "drop"}.Complete(func(v string) string { return map[string]string{"AWS_CONFIG_FILE": name}[v] })
	if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
}
