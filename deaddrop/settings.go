package deaddrop

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"gopkg.in/ini.v1"

	"psyopsOS/step"
)

// Settings say which bucket it is. They hold no secret: credentials are read
// where AWS's own tools read them, when the bucket is opened.
type Settings struct {
	Bucket   string // NAME or s3://NAME/PREFIX
	Endpoint string // https://HOST[:PORT]; http:// for a server of one's own
	Region   string
	Profile  string
	Parallel int // requests at once

	files     []string                 // config, then credentials
	transport http.RoundTripper        // of tests
	retries   int                      // of tests; 0: the client's own number
	creds     *credentials.Credentials // of tests
}

// BucketVariable is the environment's word for the bucket.
const BucketVariable = "PSYOPSOS_DEADDROP"

const (
	usualRegion   = "us-east-1"
	usualParallel = 8
)

// Complete fills in what the user has not said, from the environment and then
// from AWS's files: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION,
// AWS_DEFAULT_REGION, AWS_PROFILE, AWS_CONFIG_FILE and
// AWS_SHARED_CREDENTIALS_FILE mean what they mean elsewhere.
func (s Settings) Complete(getenv func(string) string) (Settings, error) {
	home := getenv("HOME")
	s.files = []string{
		first(getenv("AWS_CONFIG_FILE"), filepath.Join(home, ".aws", "config")),
		first(getenv("AWS_SHARED_CREDENTIALS_FILE"), filepath.Join(home, ".aws", "credentials")),
	}
	s.Profile = first(s.Profile, getenv("AWS_PROFILE"), "default")
	region, endpoint, err := s.fromFiles()
	if err != nil {
		return s, err
	}
	s.Bucket = first(s.Bucket, getenv(BucketVariable))
	s.Endpoint = first(s.Endpoint, getenv("AWS_ENDPOINT_URL_S3"), getenv("AWS_ENDPOINT_URL"), endpoint)
	s.Region = first(s.Region, getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"), region, usualRegion)
	s.Endpoint = first(s.Endpoint, "https://s3."+s.Region+".amazonaws.com")
	if s.Parallel == 0 {
		s.Parallel = usualParallel
	}
	return s, s.check()
}

func (s Settings) check() error {
	switch at, err := url.Parse(s.Endpoint); {
	case s.Bucket == "":
		return step.WithHint(errors.New("no bucket is named"), "--bucket s3://NAME, or %s in the environment", BucketVariable)
	case err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" || strings.Trim(at.Path, "/") != "":
		return step.WithHint(fmt.Errorf("endpoint %q is no address of a server", s.Endpoint), "https://HOST or http://HOST:PORT")
	case s.Parallel < 1 || s.Parallel > 256:
		return fmt.Errorf("%d requests at once: want 1 to 256", s.Parallel)
	}
	_, _, err := s.place()
	return err
}

// place is the bucket's name, and the prefix of its keys with its last slash.
func (s Settings) place() (bucket, prefix string, err error) {
	bucket, prefix, _ = strings.Cut(strings.TrimPrefix(s.Bucket, "s3://"), "/")
	prefix = strings.TrimSuffix(prefix, "/")
	if len(bucket) < 3 || strings.Trim(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return "", "", step.WithHint(fmt.Errorf("%q is no bucket", s.Bucket), "s3://NAME or s3://NAME/PREFIX; names have small letters, digits, dots and dashes")
	}
	if prefix != "" {
		if err := checkKey(prefix); err != nil {
			return "", "", err
		}
		prefix += "/"
	}
	return bucket, prefix, nil
}

// fromFiles is what AWS's files say of region and endpoint.
func (s Settings) fromFiles() (region, endpoint string, err error) {
	for _, name := range s.files {
		file, err := ini.Load(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			// The message may quote a line, and a line may be a secret.
			return "", "", step.WithHint(fmt.Errorf("%s cannot be read", name), "it is an INI file: [profile NAME] and KEY = VALUE")
		}
		for _, title := range []string{s.Profile, "profile " + s.Profile} {
			section, err := file.GetSection(title)
			if err != nil {
				continue
			}
			region = first(section.Key("region").String(), region)
			endpoint = first(section.Key("endpoint_url").String(), endpoint)
		}
	}
	return region, endpoint, nil
}

// credentials are the environment's, else those of the profile's files.
func (s Settings) credentials() *credentials.Credentials {
	if s.creds != nil {
		return s.creds
	}
	chain := []credentials.Provider{&credentials.EnvAWS{}}
	for i := range s.files {
		name := s.files[len(s.files)-1-i]
		chain = append(chain, &credentials.FileAWSCredentials{Filename: name, Profile: s.Profile})
	}
	return credentials.NewChainCredentials(chain)
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
