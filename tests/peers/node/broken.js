// Reads a download to its end with Node's own client: node broken.js URL TOKEN ENCODING
//
// Prints "begun" after the first bytes and waits for a line on standard input; then reads on. Ends with 0 and "whole N"
// when the client takes the body for whole, with 3 and the error when it says that it is not.

'use strict'

const http = require('node:http')

const [url, token, encoding] = process.argv.slice(2)
const headers = {authorization: `Token ${token}`, 'accept-encoding': encoding}

function end(code, text) {
  console.log(text)
  process.exit(code)
}

http
  .get(url, {headers}, (response) => {
    let total = 0
    let begun = false
    response.on('data', (chunk) => {
      total += chunk.length
      if (begun) return
      begun = true
      response.pause()
      console.log('begun')
      process.stdin.once('data', () => response.resume())
    })
    response.on('end', () => (response.complete ? end(0, `whole ${total}`) : end(3, 'broken: not complete')))
    response.on('error', (error) => end(3, `broken: ${error.code}`))
  })
  .on('error', (error) => end(3, `broken: ${error.code}`))
