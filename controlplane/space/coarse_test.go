package space

import "testing"

func TestWhatIsFreeIsToldCoarsely(t *testing.T) {
	for _, c := range [][2]uint64{{0, 0}, {16<<20 - 1, 0}, {100 << 20, 96 << 20}, {4 << 30, 4 << 30}, {4<<30 + 17<<20, 4 << 30},
		{238941110272, 222 << 30}, {238840446976, 222 << 30}, {1<<63 + 5, 1 << 63}} {
		got := Coarse(c[0])
		if got != c[1] {
			t.Errorf("%d is told as %d, want %d", c[0], got, c[1])
		}
		if off := c[0] - got; off >= 16<<20 && off > c[0]/100 {
			t.Errorf("%d is told as %d, which is %d less", c[0], got, off)
		}
	}
}
