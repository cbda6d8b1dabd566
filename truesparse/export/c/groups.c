/* Groups of $group rows that have their entries in the same columns: group i has the lengths[i] columns that follow
 * those of the group before, and $group weights side by side for each.$scales_comment */
typedef struct {
    uint32_t groups;
    uint32_t next_group; /* how many rows on */
    uint32_t next_row;
    const $length *lengths;
    const $index *places; /* columns */
    const $weight *weights;$scales_members
} $type;

/* y += W x, of each row two sums */
static void $function(float *restrict y, const $type *w, const float *restrict x)
{
    const $index *places = w->places;
    const $weight *weights = w->weights;
    uint32_t group;
    for (group = 0; group < w->groups; group++) {
        const $index *const end = places + w->lengths[group];
        size_t row = (size_t)group * w->next_group;
        float a[$group] = {0.0f}, b[$group] = {0.0f};
        size_t i;
        for (; end - places >= 2; places += 2, weights += 2 * $group) {
            const float u = x[places[0]];
            const float v = x[places[1]];
            ${each} (i = 0; i < $group; i++) {
                a[i] += ${cast}weights[i] * u;
            }
            ${each} (i = 0; i < $group; i++) {
                b[i] += ${cast}weights[i + $group] * v;
            }
        }
        for (; places < end; places++, weights += $group) {
            const float u = x[*places];
            ${each} (i = 0; i < $group; i++) {
                a[i] += ${cast}weights[i] * u;
            }
        }
        for (i = 0; i < $group; i++, row += w->next_row) {
            y[row] += ${scale}(a[i] + b[i]);
        }
    }
}
