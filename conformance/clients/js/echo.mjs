// A server of ws that sends back what it gets, and does what `examples/websocket-echo/tests/peers.rs` says: node echo.mjs

import { WebSocketServer } from 'ws';

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  maxPayload: 16 << 20,
  perMessageDeflate: { threshold: 0 },
  verifyClient: ({ req }, answer) => (req.url === '/missing' ? answer(false, 404) : answer(true)),
  handleProtocols: (offered, request) => (request.url === '/other' ? 'other' : offered.has('echo') && 'echo'),
});
// ws asks for a subprotocol only where one was offered.
server.on('headers', (headers, request) => {
  if (request.url === '/other' && !request.headers['sec-websocket-protocol']) headers.push('Sec-WebSocket-Protocol: other');
});
server.on('listening', () => console.log(`listening on 127.0.0.1:${server.address().port}`));
server.on('connection', (socket) => {
  socket.on('error', (error) => console.error(error));
  socket.on('pong', (octets) => socket.send(`pong ${octets}`));
  socket.on('message', (data, binary) => {
    const [, word, rest] = binary ? [] : /^(close|ping|fragments) (.*)$/s.exec(data) ?? [];
    if (word === 'close') {
      const [code, ...reason] = rest.split(' ');
      socket.close(Number(code), reason.join(' '));
    } else if (word === 'ping') {
      socket.ping(rest);
    } else if (word === 'fragments') {
      const words = rest.split(' ');
      words.forEach((part, i) => socket.send(part, { binary: false, fin: i + 1 === words.length }));
    } else {
      socket.send(data, { binary });
    }
  });
});
