// Hashes nonces of many slices in one launch. A group of items works on one slice, and each item tries
// PER_ITEM nonces of it. Macros in capitals are made by source.py: numbers, and steps of a round over
// the variables a0 to a24 (state), b0 to b24 (moved state) and d0 to d4 (what theta adds to the columns).

#define TURN(value, bits) rotate((ulong)(value), (ulong)(bits))

__constant ulong round_constants[24] = {ROUND_CONSTANTS};

inline ulong swapped(ulong value)
{
    return as_ulong(as_uchar8(value).s76543210);
}

// The first 8 bytes of a nonce's hash as a big-endian number; `prepared` are the farmer's words.
inline ulong head_of(__local const ulong *prepared, ulong nonce)
{
    STATE;
    // Bytes of the nonce: the upper four end word 0, the lower four begin word 1.
    const ulong bytes = swapped(nonce);
    const ulong w0 = bytes << 32;
    const ulong w1 = bytes >> 32;
    PREPARED
    ADD_WORD_0
    ADD_WORD_1
    CHI
    a0 ^= round_constants[0];
    for (int number = 1; number < 23; number++) {
        THETA
        MOVE
        CHI
        a0 ^= round_constants[number];
    }
    // Of the last round only word 0 is needed, which comes from three words.
    THETA
    MOVE_FIRST_THREE
    return swapped(b0 ^ (~b1 & b2) ^ round_constants[23]);
}

// words:  25 prepared words of each farmer
// slices: row of the farmer, first nonce, nonces, largest good head; of each slice
// places: slice of each group, and the group's number in it
// found:  number of hits, of which the first `room` are written: slice, nonce and head of each
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void scan(
    __global const ulong *words,
    __global const ulong *slices,
    __global const uint2 *places,
    __global uint *found,
    __global ulong *hits,
    const uint room)
{
    const uint2 place = places[get_group_id(0)];
    __global const ulong *slice = slices + 4 * place.x;
    __global const ulong *row = words + 25 * slice[0];
    __local ulong prepared[25];
    for (uint i = get_local_id(0); i < 25; i += GROUP)
        prepared[i] = row[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    const ulong start = ((ulong)place.y * GROUP + get_local_id(0)) * PER_ITEM;
    for (ulong offset = start; offset < start + PER_ITEM && offset < slice[2]; offset++) {
        const ulong nonce = slice[1] + offset;
        const ulong head = head_of(prepared, nonce);
        if (head <= slice[3]) {
            const uint number = atomic_inc(found);
            if (number < room) {
                hits[3 * number] = place.x;
                hits[3 * number + 1] = nonce;
                hits[3 * number + 2] = head;
            }
        }
    }
}
