package restic

import (
	"testing"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// TestABucketIsNamedAsResticIsTold: what the option says, else by whom it is asked of.
func TestABucketIsNamedAsResticIsTold(t *testing.T) {
	for _, c := range []struct{ url, lookup, want string }{
		{"s3:https://s3.example.net/bucket/x", "", "https://s3.example.net/bucket"},
		{"s3:https://s3.example.net/bucket/x", "auto", "https://s3.example.net/bucket"},
		{"s3:https://s3.example.net:9000/bucket/x", "dns", "https://bucket.s3.example.net:9000"},
		{"s3:https://s3.example.net/bucket/x", "path", "https://s3.example.net/bucket"},
		{"s3:s3.eu-west-1.amazonaws.com/bucket", "", "https://bucket.s3.eu-west-1.amazonaws.com"},
		{"s3:s3.eu-west-1.amazonaws.com/bucket", "path", "https://s3.eu-west-1.amazonaws.com/bucket"},
		{"s3:s3.eu-west-1.amazonaws.com/with.dots", "", "https://s3.eu-west-1.amazonaws.com/with.dots"},
		{"s3:s3.eu-west-1.amazonaws.com/with.dots", "dns", "https://with.dots.s3.eu-west-1.amazonaws.com"},
	} {
		at, err := location.ParseHere(c.url)
		if err != nil {
			t.Fatal(err)
		}
		r := Repository{URL: topics.Secret(c.url), Options: map[string]string{"s3.bucket-lookup": c.lookup},
			Env: map[string]topics.Secret{"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}}
		b, ok := r.bucket(at)
		if !ok || b.base.String() != c.want {
			t.Errorf("%s with %q is asked at %v, want %s", c.url, c.lookup, b, c.want)
		}
	}
}
