// A program for `logmill work`: charges orders, one line of JSON on stdin for each. Needs Go's standard library only.
// It handles all records that it holds at once, and answers in whatever order they are done.
//
//	go build -o charge . && logmill work -b localhost:9092 -g billing -t orders -o beginning --in-flight 64 -- ./charge
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"sync"
)

// Record is a line that logmill writes. Bytes that are no UTF-8 come as base64; a null payload leaves both nil.
type Record struct {
	Place
	Payload       *string `json:"payload"`
	PayloadBase64 *string `json:"payload_base64"`
	Attempt       int     `json:"attempt"`
}

// Place says which record it is. Each answer repeats it.
type Place struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// Answer is a line that logmill reads.
type Answer struct {
	Place
	Status  string `json:"status"`
	Error   string `json:"error,omitempty"`
	DelayMs int    `json:"delay_ms,omitempty"`
}

// Order is what a record's payload holds.
type Order struct {
	ID    int `json:"id"`
	Cents int `json:"cents"`
	// How often the payment service is busy, which only an example's order would say.
	Busy int `json:"busy"`
}

var errBusy = errors.New("the payment service is busy")

func main() {
	log.SetFlags(0)
	records, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var writing sync.Mutex
	var working sync.WaitGroup
	for {
		var record Record
		err := records.Decode(&record)
		if err == io.EOF {
			break // the node drains: it wants nothing but the answers
		}
		if err != nil {
			log.Fatal(err) // logmill starts the program again, and retries what it held
		}
		// No more than --in-flight of them: the next line comes when one is answered.
		working.Add(1)
		go func() {
			defer working.Done()
			answer := handle(record)
			writing.Lock()
			defer writing.Unlock()
			if err := answers.Encode(answer); err != nil {
				log.Fatal(err)
			}
		}()
	}
	working.Wait()
	log.Print("no more orders")
}

// handle says what becomes of the record.
func handle(record Record) Answer {
	answer := Answer{Place: record.Place, Status: "ack"}
	order, err := read(record)
	switch {
	case err != nil:
		answer.Status, answer.Error = "dead", fmt.Sprintf("not an order: %v", err)
	case order == nil:
	case order.Cents == 0:
		answer.Status, answer.Error = "dead", "zero amount"
	default:
		if err := charge(*order, record.Attempt); err != nil {
			answer.Status, answer.Error, answer.DelayMs = "retry", err.Error(), 50
		}
	}
	return answer
}

// read gives the order in the payload, nil if it is null.
func read(record Record) (*Order, error) {
	var data []byte
	switch {
	case record.PayloadBase64 != nil:
		decoded, err := base64.StdEncoding.DecodeString(*record.PayloadBase64)
		if err != nil {
			return nil, err
		}
		data = decoded
	case record.Payload != nil:
		data = []byte(*record.Payload)
	default:
		return nil, nil
	}
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		reader, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = io.ReadAll(reader); err != nil {
			return nil, err
		}
	}
	order := new(Order)
	return order, json.Unmarshal(data, order)
}

// charge is where the payment would be made.
func charge(order Order, attempt int) error {
	if attempt <= order.Busy {
		return errBusy
	}
	log.Printf("charged %d for order %d at attempt %d", order.Cents, order.ID, attempt)
	return nil
}
