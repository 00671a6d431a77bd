package ledger

import (
	"context"
	"sync"
)

// subscriberBuffer is how many calls a subscriber may lag behind.
const subscriberBuffer = 256

type subscribers struct {
	mu   sync.Mutex
	list map[chan Call]struct{}
}

// Subscribe delivers calls as they are committed, in the order of Seq, until ctx
// ends; then the channel is closed. A slow reader misses calls rather than
// slowing the ledger: a gap in Seq tells it to read them with Calls and
// AfterSeq. Content is left out.
func (l *Ledger) Subscribe(ctx context.Context) <-chan Call {
	ch := make(chan Call, subscriberBuffer)
	l.sub.mu.Lock()
	if l.sub.list == nil {
		l.sub.list = map[chan Call]struct{}{}
	}
	l.sub.list[ch] = struct{}{}
	l.sub.mu.Unlock()
	context.AfterFunc(ctx, func() {
		l.sub.mu.Lock()
		defer l.sub.mu.Unlock()
		delete(l.sub.list, ch)
		close(ch)
	})
	return ch
}

func (s *subscribers) publish(c *Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		return
	}
	v := *c
	v.Content = nil
	for ch := range s.list {
		select {
		case ch <- v:
		default:
		}
	}
}
