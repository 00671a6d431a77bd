package artifact

import (
	"context"
	"fmt"
	"os"
	"time"
)

// lock waits until this process alone holds the lock file, and returns its
// release. The file itself stays: removing it would let two processes hold
// locks on two files of one name.
func lock(ctx context.Context, path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("the cache directory cannot be written: %w; set %s to another directory", err, CacheEnv)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := tryLock(f)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		if ok {
			return func() { f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for another process that is fetching the same files (%s): %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}
