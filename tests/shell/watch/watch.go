// SPDX-License-Identifier: BSD-2-Clause

// The same client on cilium/ebpf (Debian's 0.9.1), without cgo and so static: no libc through which its calls go.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
)

type event struct {
	Tgid uint32
	Comm [16]byte
	Path [64]byte
}

func text(b []byte) string {
	return string(b[:bytes.IndexByte(b, 0)])
}

func try(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "watch-go: %s: %v\n", what, err)
		os.Exit(1)
	}
}

func main() {
	try("memlock", rlimit.RemoveMemlock())
	spec, err := ebpf.LoadCollectionSpec(os.Args[1])
	try("object", err)
	try("constants", spec.RewriteConstants(map[string]interface{}{"suffix": byte('e')}))
	coll, err := ebpf.NewCollection(spec)
	try("load", err)
	tp, err := link.Tracepoint("syscalls", "sys_enter_openat", coll.Programs["on_open"], nil)
	try("attach", err)
	reader, err := ringbuf.NewReader(coll.Maps["events"])
	try("ring", err)
	fmt.Println("ready")
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGINT)
	go func() {
		<-ends
		reader.Close()
	}()
	for {
		record, err := reader.Read()
		if err != nil {
			break
		}
		var e event
		try("record", binary.Read(bytes.NewReader(record.RawSample), binary.LittleEndian, &e))
		fmt.Printf("%s %s\n", text(e.Comm[:]), text(e.Path[:]))
	}
	var key uint32
	var count, sum uint64
	entries := coll.Maps["counts"].Iterate()
	for entries.Next(&key, &count) {
		sum += count
	}
	try("map", entries.Err())
	fmt.Printf("opened %d\n", sum)
	try("detach", tp.Close())
	coll.Close()
}
