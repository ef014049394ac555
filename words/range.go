package words

import (
	"math"
	"time"
)

// The times that we believe: from 1970 to 9999, in Unix milliseconds. What others say
// beyond is one of these two, which no clock shows, and is told as [OutOfRange]. 0 is that
// there is no time.
const (
	EarliestTime int64 = 1
	LatestTime   int64 = 253_402_300_799_999 // 9999-12-31T23:59:59.999Z, the last that JSON and RFC 3339 know
)

// OutOfRange is what is shown in the place of a time that cannot be.
const OutOfRange = "time out of range"

// Time is a time that somebody else said, in Unix milliseconds, as it is taken: the
// nearest of those that we believe.
func Time(ms int64) int64 {
	if ms == 0 {
		return 0
	}
	return min(max(ms, EarliestTime), LatestTime)
}

// At is a time that a row holds, of before it was looked at, too: the zero time for 0.
func At(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(Time(ms))
}

// Believed reports whether a time, in Unix milliseconds, is one of those that we believe,
// or none.
func Believed(ms int64) bool { return ms == 0 || ms > EarliestTime && ms < LatestTime }

// Between is how long after a the time b is, both in Unix milliseconds. It is the longest
// or shortest span there is where these are not enough.
func Between(a, b int64) time.Duration {
	d := float64(b) - float64(a)
	switch most := float64(math.MaxInt64 / int64(time.Millisecond)); {
	case d >= most:
		return math.MaxInt64
	case d <= -most:
		return -math.MaxInt64
	}
	return time.Duration(b-a) * time.Millisecond
}

// odd reports whether a moment is one that is told as [OutOfRange].
func odd(t time.Time) bool { return !t.IsZero() && !Believed(t.UnixMilli()) }
