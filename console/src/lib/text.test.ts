import { describe, expect, it } from 'vitest';
import { csv } from './save';
import { EventDecoder } from './sse';

describe('server-sent events', () => {
  const stream = 'event: call\r\ndata: {"a":1}\r\n\r\n: keep-alive\n\ndata: one\ndata: two\n\nid: 7\ndata:[DONE]\n\n';
  const want = [
    { event: 'call', data: '{"a":1}' },
    { event: 'message', data: 'one\ntwo' },
    { event: 'message', data: '[DONE]' },
  ];

  it('come out the same wherever the text is cut', () => {
    for (let i = 0; i <= stream.length; i++) {
      const d = new EventDecoder();
      expect([...d.push(stream.slice(0, i)), ...d.push(stream.slice(i))]).toEqual(want);
    }
    const d = new EventDecoder();
    expect([...stream].flatMap((c) => d.push(c))).toEqual(want);
  });

  it('that are not ended are not given', () => {
    expect(new EventDecoder().push('data: half')).toEqual([]);
  });
});

describe('CSV', () => {
  it('quotes, and defuses formulas but not numbers', () => {
    expect(csv(['a', 'b'], [['x,y', 'say "hi"'], ['=1+1', '-0.5'], [null, 3], ['line\nbreak', '@cmd'], ['-1+2', '']])).toBe(
      'a,b\r\n"x,y","say ""hi"""\r\n\'=1+1,-0.5\r\n,3\r\n"line\nbreak",\'@cmd\r\n\'-1+2,\r\n',
    );
  });
});
