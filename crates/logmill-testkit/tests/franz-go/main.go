// A Go program against the embedded brokers: two members of a consumer group read what an idempotent
// producer writes, in every codec. It ends with 0 only when each record came, once, to one of them.
//
// The version of franz-go is one that Debian's Go builds.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions = 4
	perCodec   = 500
	patience   = 60 * time.Second
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func main() {
	if len(os.Args) != 4 {
		fail(errors.New("usage: franz-go BROKERS TOPIC GROUP"))
	}
	brokers, topic, group := strings.Split(os.Args[1], ","), os.Args[2], os.Args[3]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	members := []*member{join(brokers, topic, group), join(brokers, topic, group)}
	// Before anything is written, so that no partition changes hands with records half read.
	for _, m := range members {
		m.wait(ctx, partitions/len(members))
	}
	for name, codec := range codecs {
		produce(ctx, brokers, topic, name, codec)
	}
	seen := read(ctx, members)
	for name := range codecs {
		for n := 0; n < perCodec; n++ {
			if times := seen[record(name, n)]; times != 1 {
				fail(fmt.Errorf("record %s was read %d times", record(name, n), times))
			}
		}
	}
	for _, m := range members {
		if err := m.client.CommitUncommittedOffsets(ctx); err != nil {
			fail(fmt.Errorf("commit: %w", err))
		}
		m.client.Close()
	}
	fmt.Printf("%d records read, each once\n", len(seen))
}

func record(codec string, n int) string { return fmt.Sprintf("%s-%d", codec, n) }

func produce(ctx context.Context, brokers []string, topic, name string, codec kgo.CompressionCodec) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ProducerBatchCompression(codec))
	if err != nil {
		fail(err)
	}
	defer client.Close()
	for n := 0; n < perCodec; n++ {
		r := &kgo.Record{Topic: topic, Key: []byte(fmt.Sprint(n)), Value: []byte(record(name, n))}
		client.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err != nil {
				fail(fmt.Errorf("produce %s: %w", r.Value, err))
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		fail(fmt.Errorf("flush: %w", err))
	}
}

// Reads until as many records came as were written, or patience ends.
func read(ctx context.Context, members []*member) map[string]int {
	values := make(chan string)
	for _, m := range members {
		go func(client *kgo.Client) {
			for {
				fetches := client.PollFetches(ctx)
				if fetches.IsClientClosed() || ctx.Err() != nil {
					return
				}
				fetches.EachError(func(topic string, partition int32, err error) {
					fail(fmt.Errorf("fetch %s/%d: %w", topic, partition, err))
				})
				fetches.EachRecord(func(r *kgo.Record) { values <- string(r.Value) })
			}
		}(m.client)
	}
	seen := make(map[string]int)
	for got := 0; got < len(codecs)*perCodec; got++ {
		select {
		case value := <-values:
			seen[value]++
		case <-ctx.Done():
			return seen
		}
	}
	return seen
}

// A member of the consumer group, and how many partitions it holds.
type member struct {
	client *kgo.Client
	mutex  sync.Mutex
	held   int
	change chan struct{}
}

func join(brokers []string, topic, group string) *member {
	m := &member{change: make(chan struct{}, 1)}
	count := func(sign int) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			m.mutex.Lock()
			m.held += sign * len(changed[topic])
			m.mutex.Unlock()
			select {
			case m.change <- struct{}{}:
			default:
			}
		}
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(count(1)),
		kgo.OnPartitionsRevoked(count(-1)),
		kgo.OnPartitionsLost(count(-1)),
	)
	if err != nil {
		fail(err)
	}
	m.client = client
	return m
}

func (m *member) wait(ctx context.Context, held int) {
	for {
		m.mutex.Lock()
		now := m.held
		m.mutex.Unlock()
		if now == held {
			return
		}
		select {
		case <-m.change:
		case <-ctx.Done():
			fail(fmt.Errorf("a member holds %d partitions, not %d", now, held))
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
