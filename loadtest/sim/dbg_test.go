package sim
import ("testing";"fmt";"os";"strconv")
func TestDbg(t *testing.T) {
	seed, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	c := Random(seed)
	for i := range c.Faults { f := c.Faults[i]; c.Faults[i].Do = func(w *World){ fmt.Printf("fault %d at %d\n", i, w.now/ms); f.Do(w) } }
	c.CheckEvery = ms
	done := false
	var dump func(w *World)
	dump = func(w *World) {
		if w.result.First != "" && !done { done = true
			fmt.Println(w.now/ms, w.result.First, "store", w.store)
			for _, n := range w.nodes { s := n.lease.Status(n.time(w.now)); fmt.Printf(" %s up=%v cut=%v stopped=%d inc=%d mode=%v have=%+v level=%d term=%x silent=%d left=%d got=%v back=%v\n", n.id, n.up, n.cut, n.stopped/ms, n.incarnation, s.Mode, s.Have, s.Level, s.Term, s.Silent/ms, s.Left/ms, s.Got, s.Back) }
			for _, l := range w.leaders { s := l.ledger.Status(l.read(w.now)); fmt.Printf(" leader epoch=%d up=%v cut=%v stopped=%d leads=%v pool=%+v level=%d held=%+v unknown=%+v unheard=%d\n", l.epoch, l.up, l.cut, l.stopped/ms, l.ledger.Leads(l.read(w.now)), s.Pool, s.Level, s.Held, s.Unknown, s.Unheard)
				for _, a := range s.Accounts { fmt.Printf("   %s inc=%d live=%v held=%+v term=%x silent=%d gave=%v back=%v\n", a.ID, a.Incarnation, a.Live, a.Held, a.Term, a.Silent/ms, a.Gave, a.Back) } }
		}
		w.after(ms, func(){ dump(w) })
	}
	c.Faults = append(c.Faults, Fault{2, dump})
	fmt.Println(Run(c))
}
