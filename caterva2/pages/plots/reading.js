// Planes that are read for a plot: aborted when another one is wanted, the last one kept meanwhile.
import { useEffect, useRef, useState } from 'react';

// Answers {key, planes, error, busy}: `planes` answer the requests of `key`, maybe of an earlier one.
export function usePlanes(read, requests, version) {
  const key = requests && JSON.stringify([requests, version]);
  const [got, setGot] = useState({ key: null, planes: null, error: null });
  const latest = useRef(read);
  latest.current = read;
  useEffect(() => {
    if (!key) return undefined;
    const controller = new AbortController();
    Promise.all(requests.map((request) => latest.current(request, controller.signal))).then(
      (planes) => controller.signal.aborted || setGot({ key, requests, planes, error: null }),
      (error) => controller.signal.aborted || setGot((old) => ({ ...old, key, error })),
    );
    return () => controller.abort();
  }, [key]);
  return { ...got, busy: Boolean(key) && got.key !== key };
}

// 64-bit integers as numbers, which drawing needs.
export function numbers(data) {
  return data instanceof BigInt64Array || data instanceof BigUint64Array
    ? Float64Array.from(data, Number)
    : data;
}
