package main

import (
	"sync"
	"time"
)

// gate lets all who wait through together, some time after the first came.
type gate struct {
	mutex sync.Mutex
	open  chan struct{}
}

func (g *gate) wait(after time.Duration) <-chan struct{} {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.open == nil {
		open := make(chan struct{})
		g.open = open
		time.AfterFunc(after, func() {
			g.mutex.Lock()
			defer g.mutex.Unlock()
			g.open = nil
			close(open)
		})
	}
	return g.open
}
