package space

// Coarse rounds free room down, to less than a hundredth of it or to 16 MiB: so exactly it is
// told to whoever is told of each change, for on a disk that is written to it changes all the time.
func Coarse(free uint64) uint64 {
	step := uint64(16 << 20)
	for step < free/256 {
		step *= 2
	}
	return free &^ (step - 1)
}
