// Finds the places in a page at which something is inserted.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

namespace lbsticky {

// Finds a marker in a text that arrives in pieces, wherever it is cut. Stores no text: where a piece ends with what may
// be the beginning of a marker, its length is enough to give it out later.
//
// The marker's first character must not occur in it again.
class Splice {
public:
    explicit Splice(std::string_view marker) noexcept : marker_(marker) {}

    // Takes the next piece. Calls text(part) for the parts of the text, in order, each byte once, and found() just
    // before the part that begins with a marker. What may be the beginning of a marker waits for the next piece.
    // O(piece).
    template <typename Text, typename Found>
    void take(std::string_view piece, Text&& text, Found&& found) {
        std::size_t held = matched_;  // characters of a marker from earlier pieces that are still to be given out
        std::size_t begin = 0;        // start of the part of this piece that is still to be given out
        for (std::size_t i = 0; i < piece.size(); ++i) {
            if (piece[i] != marker_[matched_]) {
                give_out(text, marker_.substr(0, std::exchange(held, 0)));
                matched_ = 0;
            }
            if (piece[i] != marker_[matched_] || ++matched_ < marker_.size()) continue;
            const std::size_t end = i + 1;
            give_out(text, piece.substr(begin, end - (marker_.size() - held) - begin));
            found();
            give_out(text, marker_);
            begin = end;
            held = matched_ = 0;
        }
        give_out(text, piece.substr(begin, piece.size() - begin - (matched_ - held)));
    }

    // Gives out what waits: at the end of the text, or when all of it must go out.
    template <typename Text>
    void flush(Text&& text) {
        give_out(text, marker_.substr(0, matched_));
        matched_ = 0;
    }

private:
    template <typename Text>
    static void give_out(Text&& text, std::string_view part) {
        if (!part.empty()) text(part);
    }

    std::string_view marker_;
    std::size_t matched_ = 0;  // how much of the marker the text ends with so far
};

}  // namespace lbsticky
