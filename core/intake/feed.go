package intake

import (
	"net"
	"sync"
)

// feed is a net.Listener whose connections are given to it.
type feed struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newFeed(addr net.Addr) *feed {
	return &feed{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// give hands a connection over; false where the feed is closed.
func (f *feed) give(conn net.Conn) bool {
	select {
	case f.conns <- conn:
		return true
	case <-f.done:
		return false
	}
}

// Accept waits for a connection.
func (f *feed) Accept() (net.Conn, error) {
	select {
	case conn := <-f.conns:
		return conn, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

// Close ends the feed.
func (f *feed) Close() error {
	f.close()
	return nil
}

func (f *feed) close() { f.once.Do(func() { close(f.done) }) }

// Addr is the address of the socket behind the feed.
func (f *feed) Addr() net.Addr { return f.addr }
