//go:build race

package sim

// See skipUnderRace.
const raceEnabled = true
