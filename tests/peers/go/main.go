// Command go-peer reads a download to its end with Go's own client: go-peer URL TOKEN ENCODING
//
// ENCODING is what Accept-Encoding says, with the client's own decompression off; gzip is unpacked by a reader of the
// program's. With "auto" the client asks for gzip and unpacks it by itself, as it does for every program that says nothing.
//
// Prints "begun" after the first bytes and waits for a line on standard input; then reads on. Ends with 0 and "whole N"
// when the client takes the body for whole, with 3 and the error when it says that it is not.
package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: go-peer URL TOKEN ENCODING")
		os.Exit(1)
	}
	body, err := open(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer body.Close()
	begin := make([]byte, 1000)
	if _, err = io.ReadFull(body, begin); err != nil {
		fmt.Fprintln(os.Stderr, "before the first 1000 bytes:", err)
		os.Exit(1)
	}
	fmt.Println("begun")
	if _, err = bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	rest, err := io.Copy(io.Discard, body)
	if err != nil {
		fmt.Printf("broken: %v\n", err)
		os.Exit(3)
	}
	fmt.Printf("whole %d\n", rest+int64(len(begin)))
}

func open(url, token, encoding string) (io.ReadCloser, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Token "+token)
	client := &http.Client{}
	if encoding != "auto" {
		request.Header.Set("Accept-Encoding", encoding)
		client.Transport = &http.Transport{DisableCompression: true}
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s", response.Status)
	}
	found := response.Header.Get("Content-Encoding")
	switch {
	case encoding == "auto" && response.Uncompressed:
		return response.Body, nil
	case encoding == "gzip" && found == "gzip":
		return gzip.NewReader(response.Body)
	case encoding == "zstd" && found == "zstd", encoding == "identity" && found == "":
		return response.Body, nil
	}
	return nil, fmt.Errorf("Content-Encoding is %q for %q", found, encoding)
}
