"""The local index: exact, memory-mapped, for one machine; many readers and one writer.

    <collection>/manifest.json      what is served; replaced at once
    <collection>/<segment>/         points that were written together, never changed
        vectors.f32                 a unit row of ``dim`` float32 a point
        rows.bin                    a ``ROW`` a point: id, times, scope, video, payload, checksum
        payloads.bin                what points say, by key: each value once, and who has it
        dead-<n>.i4                 rows that were deleted or replaced

A reader maps what the manifest names and needs no lock: nothing that it maps ever changes. A writer
adds a segment or a list of dead rows and then replaces the manifest; small segments are merged, as
are those with many dead rows. What no manifest names is the leftover of a writer that was cut off,
and the next one removes it.
"""
