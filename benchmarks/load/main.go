// Command load puts load on a Kubernetes API over TLS with a client certificate and prints one
// line of JSON. Which server it is does not matter to it: benchmarks/control_plane.py points it at
// kube-apiserver and at ours by turns.
//
//	load -host 127.0.0.1:6443 -ca ca.crt -cert admin.crt -key admin.key [-h2] OPERATION [flags]
//
// Operations: create, get, list, update (merge patches), watch (writes seen by watchers), hold
// (open watches until standard input ends).
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type target struct {
	host   string
	config *tls.Config
	h2     bool
}

func (t *target) client() client {
	if t.h2 {
		return newFramed(t)
	}
	return &plain{target: t}
}

type options struct {
	namespace, prefix    string
	clients, count       int
	objects, size, first int
	watchers             int
	limit                time.Duration
}

func (o options) collection() string {
	return "/api/v1/namespaces/" + o.namespace + "/configmaps"
}

func (o options) name(index int) string { return fmt.Sprintf("%s-%07d", o.prefix, index) }

// result is what is printed; times are microseconds.
type result struct {
	Operation string  `json:"operation"`
	Count     int     `json:"count"`
	Failed    int     `json:"failed"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_us"`
	P90       float64 `json:"p90_us"`
	P99       float64 `json:"p99_us"`
	Max       float64 `json:"max_us"`
	Bytes     int     `json:"bytes"`
	CPU       float64 `json:"client_cpu_seconds"`
	Failure   string  `json:"failure,omitempty"`
}

func (r *result) times(all []time.Duration) {
	if len(all) == 0 {
		return
	}
	sort.Slice(all, func(a, b int) bool { return all[a] < all[b] })
	at := func(part float64) float64 {
		return float64(all[min(len(all)-1, int(part*float64(len(all))))]) / 1e3
	}
	r.P50, r.P90, r.P99, r.Max = at(0.5), at(0.9), at(0.99), at(1)
}

func main() {
	var t target
	var o options
	ca := flag.String("ca", "", "the authority's certificate")
	cert := flag.String("cert", "", "client certificate")
	key := flag.String("key", "", "client key")
	flag.StringVar(&t.host, "host", "", "host:port")
	flag.BoolVar(&t.h2, "h2", false, "HTTP/2 instead of HTTP/1.1")
	flag.StringVar(&o.namespace, "namespace", "default", "where")
	flag.StringVar(&o.prefix, "prefix", "load", "of the objects' names")
	flag.IntVar(&o.clients, "clients", 1, "connections")
	flag.IntVar(&o.count, "count", 1000, "requests in all")
	flag.IntVar(&o.objects, "objects", 1000, "objects that get and update choose from")
	flag.IntVar(&o.size, "size", 1000, "bytes of data in an object")
	flag.IntVar(&o.first, "first", 0, "the first object's number")
	flag.IntVar(&o.watchers, "watchers", 1, "open watches")
	flag.DurationVar(&o.limit, "limit", 5*time.Minute, "give up after")
	flag.Parse()
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(*ca)
	check(err)
	pool.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	check(err)
	t.config = &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
	time.AfterFunc(o.limit, func() { check(fmt.Errorf("longer than %s", o.limit)) })
	r := &result{Operation: flag.Arg(0)}
	switch flag.Arg(0) {
	case "create", "get", "list", "update":
		err = requests(&t, o, r)
	case "watch":
		err = watch(&t, o, r)
	case "hold":
		err = hold(&t, o)
	default:
		err = fmt.Errorf("no such operation: %q", flag.Arg(0))
	}
	check(err)
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	r.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
	check(json.NewEncoder(os.Stdout).Encode(r))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// one is the request with a number: method, path, content type, body.
func one(o options, operation string, number int) (string, string, string, []byte) {
	switch operation {
	case "create":
		body := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s","labels":{"app":"load"}},"data":{"text":"%s"}}`,
			o.name(o.first+number), strings.Repeat("x", o.size))
		return "POST", o.collection(), "application/json", []byte(body)
	case "get":
		return "GET", o.collection() + "/" + o.name(number*7919%o.objects), "", nil
	case "update":
		body := fmt.Sprintf(`{"data":{"n":"%d"}}`, number)
		path := o.collection() + "/" + o.name(number%o.objects)
		return "PATCH", path, "application/merge-patch+json", []byte(body)
	}
	return "GET", o.collection(), "", nil
}

func requests(t *target, o options, r *result) error {
	clients := make([]client, o.clients)
	for i := range clients {
		clients[i] = t.client()
		if status, _, body, err := clients[i].send("GET", "/version", "", nil); err != nil || status != 200 {
			return fmt.Errorf("cannot begin: %d %s %w", status, body, err)
		}
	}
	var next, failed, size atomic.Int64
	var failure atomic.Pointer[string]
	all := make([][]time.Duration, o.clients)
	var group sync.WaitGroup
	start := time.Now()
	for i := range clients {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				number := int(next.Add(1)) - 1
				if number >= o.count {
					return
				}
				method, path, kind, body := one(o, r.Operation, number)
				begin := time.Now()
				status, bytes, text, err := clients[i].send(method, path, kind, body)
				all[i] = append(all[i], time.Since(begin))
				size.Add(int64(bytes))
				if err != nil || status >= 300 {
					failed.Add(1)
					why := fmt.Sprintf("%d %s %v", status, text, err)
					failure.CompareAndSwap(nil, &why)
				}
			}
		}()
	}
	group.Wait()
	r.Seconds = time.Since(start).Seconds()
	var whole []time.Duration
	for _, part := range all {
		whole = append(whole, part...)
	}
	r.Count, r.Failed, r.Bytes = len(whole), int(failed.Load()), int(size.Load())
	if why := failure.Load(); why != nil {
		r.Failure = *why
	}
	r.PerSecond = float64(r.Count) / r.Seconds
	r.times(whole)
	return nil
}

// version is the collection's present version, where watches begin.
func version(c client, o options) (string, error) {
	body := []byte(`{"data":{"n":"start"}}`)
	path := o.collection() + "/" + o.name(0)
	status, _, text, err := c.send("PATCH", path, "application/merge-patch+json", body)
	if err != nil || status != 200 {
		return "", fmt.Errorf("cannot begin: %d %s %w", status, text, err)
	}
	var object struct {
		Metadata struct{ ResourceVersion string }
	}
	if err := json.Unmarshal(text, &object); err != nil {
		return "", err
	}
	return object.Metadata.ResourceVersion, nil
}

// watchers opens watches of the whole collection; seen is called for each event, ended when one
// of them is over.
func watchers(t *target, o options, from string, seen func(at time.Time), ended func(error)) error {
	path := o.collection() + "?watch=1&resourceVersion=" + from
	each := 1
	if t.h2 {
		each = streamsEach
	}
	all := make([]*watcher, (o.watchers+each-1)/each)
	failed := make([]error, len(all))
	var group sync.WaitGroup
	room := make(chan struct{}, 16)
	for number := range all {
		group.Add(1)
		room <- struct{}{}
		go func() {
			defer func() { <-room; group.Done() }()
			if t.h2 {
				all[number], failed[number] = openFramed(t, path, min(each, o.watchers-number*each))
			} else {
				all[number], failed[number] = openPlain(t, path)
			}
		}()
	}
	group.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	go func() { ended(follow(all, seen)) }()
	return nil
}

func watch(t *target, o options, r *result) error {
	c := t.client()
	from, err := version(c, o)
	if err != nil {
		return err
	}
	var lock sync.Mutex
	var begin time.Time
	var all []time.Duration
	arrived := 0
	complete := make(chan struct{}, 1)
	err = watchers(t, o, from, func(at time.Time) {
		lock.Lock()
		defer lock.Unlock()
		all = append(all, at.Sub(begin))
		if arrived++; arrived == o.watchers {
			complete <- struct{}{}
		}
	}, check)
	if err != nil {
		return err
	}
	path, start := o.collection()+"/"+o.name(0), time.Now()
	for number := range o.count {
		lock.Lock()
		arrived, begin = 0, time.Now()
		lock.Unlock()
		body := fmt.Appendf(nil, `{"data":{"n":"%d-%d"}}`, time.Now().UnixNano(), number)
		status, _, text, err := c.send("PATCH", path, "application/merge-patch+json", body)
		if err != nil || status != 200 {
			return fmt.Errorf("a write failed: %d %s %w", status, text, err)
		}
		select {
		case <-complete:
		case <-time.After(time.Minute):
			return errors.New("an event did not come")
		}
	}
	r.Seconds = time.Since(start).Seconds()
	r.Count = len(all)
	r.PerSecond = float64(o.count) / r.Seconds
	r.times(all)
	return nil
}

// hold opens watches and keeps them until standard input ends.
func hold(t *target, o options) error {
	from, err := version(t.client(), o)
	if err != nil {
		return err
	}
	if err := watchers(t, o, from, func(time.Time) {}, check); err != nil {
		return err
	}
	fmt.Println(`{"operation":"holding"}`)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
