// franz-go, measured as the other peers are: see ../measure.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type settings map[string]string

func (s settings) number(name string) int {
	n, err := strconv.Atoi(s[name])
	if err != nil {
		panic(name + "= is missing or no number")
	}
	return n
}

func main() {
	s := settings{}
	for _, word := range os.Args[2:] {
		name, value, _ := strings.Cut(word, "=")
		s[name] = value
	}
	switch os.Args[1] {
	case "produce":
		produce(s)
	case "consume":
		consume(s)
	default:
		panic("no mode " + os.Args[1])
	}
}

// The same bytes in every peer: SplitMix64, seeded with the payload's number.
func payloads(size int) [][]byte {
	all := make([][]byte, 4096)
	for number := range all {
		state := uint64(number)
		var payload []byte
		for len(payload) < size {
			state += 0x9e3779b97f4a7c15
			mixed := (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9
			mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb
			payload = binary.LittleEndian.AppendUint64(payload, mixed^(mixed>>31))
		}
		all[number] = payload[:size]
	}
	return all
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	of := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return of(usage.Utime) + of(usage.Stime)
}

// Runs the work, which tells how many records it did, and prints its line.
func measure(mode string, work func() int) {
	started, cpu := time.Now(), cpuSeconds()
	records := work()
	seconds, used := time.Since(started).Seconds(), cpuSeconds()-cpu
	fmt.Printf("{\"peer\":\"franz-go\",\"mode\":%q,\"records\":%d,\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n", mode, records, seconds, used)
}

// Idempotence and acks=all are its defaults.
func produce(s settings) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(s["brokers"], ",")...),
		kgo.DefaultProduceTopic(s["topic"]),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(time.Duration(s.number("linger_ms"))*time.Millisecond),
		kgo.ProducerBatchMaxBytes(int32(s.number("batch_bytes"))),
		kgo.MaxBufferedRecords(250_000),
	)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	ctx, all := context.Background(), payloads(s.number("size"))
	var delivered, failed atomic.Int64
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.Add(1)
		} else {
			delivered.Add(1)
		}
	}
	send := func(records int) int {
		for number := range records {
			client.Produce(ctx, &kgo.Record{Value: all[number%len(all)]}, done)
		}
		if err := client.Flush(ctx); err != nil {
			panic(err)
		}
		return records
	}
	send(s.number("warmup"))
	measure("produce", func() int { return send(s.number("records")) })
	if failed.Load() != 0 || delivered.Load() != int64(s.number("warmup")+s.number("records")) {
		panic(fmt.Sprint(delivered.Load(), " delivered, ", failed.Load(), " failed"))
	}
}

// The CRC is always checked.
func consume(s settings) {
	offsets := map[int32]kgo.Offset{}
	for partition := range s.number("partitions") {
		offsets[int32(partition)] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(s["brokers"], ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s["topic"]: offsets}),
	)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	ctx, bytes, total := context.Background(), 0, 0
	read := func(records int) int {
		from := total
		for total < from+records {
			fetches := client.PollFetches(ctx)
			if errors := fetches.Errors(); len(errors) > 0 {
				panic(errors[0].Err)
			}
			fetches.EachRecord(func(record *kgo.Record) {
				bytes += len(record.Value)
				total++
			})
		}
		return total - from
	}
	read(s.number("warmup"))
	measure("consume", func() int { return read(s.number("records")) })
	if bytes != total*s.number("size") {
		panic("wrong sizes")
	}
}
